"""The process of composed nodes."""

import os

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from face3dmm_ros.live import composition
from face3dmm_ros.live.middleware import fast_dds_settings


def test_the_profile_of_composed_nodes_holds_while_they_run_and_not_longer(monkeypatch):
    seen = []
    ours = fast_dds_settings({})
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        composition, "run_composed", lambda *_: seen.append({name: os.environ[name] for name in ours}) or 0
    )
    assert composition.main(["hri_node"]) == 0
    assert all(value.endswith("fastdds_composed_profile.xml") for value in seen[0].values())
    assert {name: os.environ[name] for name in ours} == ours
