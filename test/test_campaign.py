"""The campaign of hostile files: the same for the same seed, damaged all of them, and harmless for a short while."""

import numpy as np
import pytest

from tools.campaign import mutations
from tools.campaign.mutations import damaged_array, damaged_bytes, damaged_tree
from tools.campaign.report import Case, append, read, table

GOOD = bytes(range(200))
TREE = {"a": [1, 2.5, {"b": "text"}], "c": True}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """Wide trees are a hundred thousand branches, of which a handful tells as much."""
    monkeypatch.setattr(mutations, "_WIDE", 3)


def test_a_seed_makes_the_same_damage_again():
    first, again = (damaged_bytes(GOOD, np.random.default_rng((3, 7))) for _ in range(2))
    assert first == again
    first, again = (damaged_tree(TREE, np.random.default_rng((3, 7))) for _ in range(2))
    assert repr(first) == repr(again)


def test_damage_leaves_what_it_was_made_from_as_it_was():
    before = repr(TREE)
    for seed in range(50):
        damaged_tree(TREE, np.random.default_rng(seed))
    assert repr(TREE) == before


def test_nearly_all_damage_differs():
    assert len({damaged_bytes(GOOD, np.random.default_rng(seed)) for seed in range(300)}) > 280
    assert len({repr(damaged_tree(TREE, np.random.default_rng(seed))) for seed in range(300)}) > 200
    changed = [damaged_array(np.eye(3), np.random.default_rng(seed)) for seed in range(100)]
    assert len({(array.shape, array.dtype) for array in changed}) > 6


def test_a_campaign_goes_on_where_it_was_stopped_and_tells_what_came_of_it(tmp_path):
    path = tmp_path / "files.jsonl"
    assert read(path) == []
    cases = [Case("picture", "0,0", "refused", "why", True), Case("model", "0,1", "hung", "for 10 s", False)]
    for case in cases:
        append(path, case)
    assert read(path) == cases
    assert [line.split() for line in table(cases).splitlines()] == [
        ["hung", "refused"],
        ["model", "1", "0"],
        ["picture", "0", "1"],
        ["in", "all", "1", "1"],
    ]


@pytest.mark.slow
def test_hostile_files_of_all_kinds_are_read_or_refused():
    pytest.importorskip("torch", reason="needs torch, with which trainings are read")
    from tools.campaign import files

    assert [case for case in files.run(range(66), seed=2026, longest_s=120.0) if not case.good] == []
