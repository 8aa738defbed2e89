"""What the benchmarks say of an image from one process to another."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")


@pytest.mark.slow
def test_images_of_another_process_are_taken_and_counted(ros_domain: int) -> None:
    command = [sys.executable, "-m", "benchmarks.hop", "--seconds", "1", "--json"]
    root = Path(__file__).parents[1]
    result = json.loads(subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    assert result["sent"] == 30
    assert 0.0 <= result["lost"] < 1.0
    assert 0.0 < result["p50_ms"] <= result["p99_ms"]
    assert result["middleware"].startswith("rmw_")
