"""The README and docs/: their tables are shown as tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def table_blocks(text: str) -> Iterator[list[str]]:
    """The runs of lines that begin as a table's rows do, code left out."""
    block: list[str] = []
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.lstrip().startswith("|"):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def columns(row: str) -> int:
    """How many cells a row has; an escaped bar ends none."""
    return len(re.findall(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))) + 1


def problems(text: str) -> list[str]:
    """What keeps a document's tables from being shown as tables: blocks that are none, and rows of another width."""
    found = []
    for block in table_blocks(text):
        if len(block) < 2 or not re.fullmatch(r"[|:\s-]*-[|:\s-]*", block[1]):
            found.append(f"no table begins with {block[0]!r}: is there a blank line before it?")
        found += [f"{row!r} has another number of columns" for row in block if columns(row) != columns(block[0])]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_is_one_unbroken_table(document: Path) -> None:
    assert problems(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("rows", ["\n\n| 3 | 4 |", "\n| 3 | 4 | 5 |", "\n\n| 3 | 4 |\n| 5 | 6 |"])
def test_a_broken_table_is_noticed(rows: str) -> None:
    assert len(problems("| a | b |\n| - | - |\n| 1 | 2 |" + rows)) == 1
