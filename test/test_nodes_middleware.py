"""Settings of the middleware, under which images get from process to process."""

import fcntl
import os
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import unused_ros_domain

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live import middleware
from face3dmm_ros.live.middleware import (
    composed_settings,
    fast_dds_settings,
    free_stale_segments,
    shared_memory_shortage,
)

OURS = {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"}
NAMESPACE = {"dds": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}


def test_both_generations_of_fast_dds_are_told_of_the_profile():
    settings = fast_dds_settings({})
    assert settings.keys() == OURS
    assert all(value.endswith("fastdds_profile.xml") for value in settings.values())


def test_loopback_has_a_profile_of_its_own():
    assert all(
        value.endswith("fastdds_loopback_profile.xml") for value in fast_dds_settings({}, loopback=True).values()
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
    ],
)
def test_what_the_user_has_chosen_stays(environment):
    assert fast_dds_settings(environment) == {}


def test_fast_dds_chosen_by_name_gets_the_profile_too():
    assert fast_dds_settings({"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}).keys() == OURS


@pytest.mark.parametrize("loopback", [False, True])
def test_composed_nodes_have_a_profile_under_which_nothing_comes_back_to_them(loopback):
    settings = composed_settings(fast_dds_settings({}, loopback=loopback))
    assert settings.keys() == OURS
    (profile,) = set(settings.values())
    assert profile.endswith("fastdds_loopback_composed_profile.xml" if loopback else "fastdds_composed_profile.xml")
    properties = {
        each.findtext("dds:name", namespaces=NAMESPACE): each.findtext("dds:value", namespaces=NAMESPACE)
        for each in ElementTree.parse(profile).getroot().iterfind(".//dds:property", NAMESPACE)
    }
    assert properties == {"fastdds.ignore_local_endpoints": "true"}


def test_composed_nodes_keep_what_the_user_has_chosen():
    assert composed_settings({}) == {}
    assert composed_settings({"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}) == {}


@pytest.mark.parametrize(
    "name",
    [f"fastdds_{kind}profile.xml" for kind in ("", "loopback_", "composed_", "loopback_composed_")],
)
def test_the_profile_has_the_segment_that_the_shortage_is_reckoned_with(name):
    root = ElementTree.parse(package_file(f"config/{name}")).getroot()
    transports = {
        transport.findtext("dds:type", namespaces=NAMESPACE): transport
        for transport in root.iterfind(".//dds:transport_descriptor", NAMESPACE)
    }
    segment = transports["SHM"].findtext("dds:segment_size", namespaces=NAMESPACE)
    assert int(segment or 0) == middleware._SEGMENT_BYTES
    addresses = [element.text for element in transports["UDPv4"].iterfind(".//dds:address", NAMESPACE)]
    assert addresses == (["127.0.0.1"] if "loopback" in name else [])
    assert root.find("dds:participant", NAMESPACE).get("is_default_profile") == "true"


def test_too_little_shared_memory_is_said_with_what_to_do(monkeypatch, tmp_path):
    usage = middleware.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(middleware.shutil, "disk_usage", lambda folder: usage._replace(free=64 << 20))
    assert shared_memory_shortage(2) == ""
    assert "64 MB free, 5 processes need 160 MB" in shared_memory_shortage(5)
    assert "--shm-size" in shared_memory_shortage(5)


def test_no_shared_memory_at_all_is_said(tmp_path):
    assert "cannot be used" in shared_memory_shortage(1, tmp_path / "nowhere")


def leave_segment(folder: Path, name: str, age_s: float = 60.0) -> Path:
    """A process's shared memory of 1000 bytes, with the file that it locks while it lives."""
    (folder / name).write_bytes(bytes(1000))
    lock = folder / f"{name}_el"
    lock.touch()
    os.utime(lock, (time.time() - age_s,) * 2)
    return lock


def test_the_shared_memory_of_killed_processes_is_freed(tmp_path):
    leave_segment(tmp_path, "fastrtps_0123456789abcdef")
    leave_segment(tmp_path, "fastrtps_fedcba9876543210")
    assert free_stale_segments(tmp_path) == 2000
    assert list(tmp_path.iterdir()) == []


def test_the_shared_memory_of_the_living_stays(tmp_path):
    with leave_segment(tmp_path, "fastrtps_0123456789abcdef").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert free_stale_segments(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("name", "age_s"), [("fastrtps_0123456789abcdef", 0.0), ("of_somebody_else", 60.0)])
def test_shared_memory_that_may_be_in_use_stays(tmp_path, name, age_s):
    leave_segment(tmp_path, name, age_s)
    assert free_stale_segments(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 2


def leave_port(folder: Path, state: int) -> Path:
    port = folder / "fastrtps_port7400"
    port.write_bytes(struct.pack("=I", state) + bytes(96))
    return port


@pytest.mark.parametrize("state", [0, 1])
def test_a_port_whose_maker_was_killed_before_it_was_ready_is_removed(tmp_path, state):
    port = leave_port(tmp_path, state)
    assert free_stale_segments(tmp_path) == 100
    assert not port.exists()


@pytest.mark.parametrize("state", [2, 3])
def test_a_new_port_that_is_ready_stays(tmp_path, state):
    port = leave_port(tmp_path, state)
    assert free_stale_segments(tmp_path) == 0
    assert port.exists()


@pytest.mark.parametrize("locks", ["", "e", "s", "es"])
def test_a_port_that_nobody_listens_to_any_more_is_removed_with_its_locks(tmp_path, locks):
    port = leave_port(tmp_path, 2)
    mutex = tmp_path / f"sem.{port.name}_mutex"
    mutex.touch()
    for file in (port, *(tmp_path / f"{port.name}_{kind}l" for kind in locks)):
        file.touch()
        os.utime(file, (time.time() - 60.0,) * 2)
    assert free_stale_segments(tmp_path) == 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "how"), [("e", fcntl.LOCK_EX), ("s", fcntl.LOCK_SH)])
def test_a_port_that_somebody_listens_to_stays(tmp_path, kind, how):
    port = leave_port(tmp_path, 2)
    lock = tmp_path / f"{port.name}_{kind}l"
    lock.touch()
    for file in (port, lock):
        os.utime(file, (time.time() - 60.0,) * 2)
    with lock.open() as held:
        fcntl.flock(held, how)
        assert free_stale_segments(tmp_path) == 0
    assert port.exists()


def test_what_a_living_node_listens_to_stays():
    """The real thing: shared memory of a node is not taken for one of the dead, however old it is."""
    with unused_ros_domain() as domain:
        if not Path("/dev/shm").is_dir():
            pytest.skip("needs /dev/shm")
        first = 7400 + 250 * domain
        look = (
            "import pathlib, rclpy, face3dmm_ros.live.middleware as m; rclpy.init(); n = rclpy.create_node('a'); "
            f"shared = [pathlib.Path(f'/dev/shm/fastrtps_port{{k}}') for k in range({first}, {first + 250})]; "
            "ports = [port for port in shared if port.exists()]; m._STARTING_S = -1.0; "
            "print(bool(ports), [m._freed_of_the_dead(port) for port in ports if port.exists()])"
        )
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        told = subprocess.run(
            [sys.executable, "-c", look], env=environment, check=True, timeout=120, capture_output=True, text=True
        )
        assert told.stdout.split()[0] == "True"
        assert set(told.stdout.split(maxsplit=1)[1].strip("[]\n").split(", ")) == {"0"}


def test_a_port_in_the_making_stays(tmp_path, monkeypatch):
    port = leave_port(tmp_path, 1)
    monkeypatch.setattr(middleware.time, "sleep", lambda seconds: leave_port(tmp_path, 2))
    assert free_stale_segments(tmp_path) == 0
    assert port.exists()


def test_a_node_starts_where_a_port_was_left_unfinished():
    """The real thing: without the mend, rclpy waits without end in this domain."""
    with unused_ros_domain() as domain:
        port = Path("/dev/shm") / f"fastrtps_port{7400 + 250 * domain + 11}"
        if not port.parent.is_dir():
            pytest.skip("needs /dev/shm")
        port.write_bytes(bytes(52400))
        start = "import rclpy; rclpy.init(); rclpy.create_node('a').destroy_node(); rclpy.shutdown()"
        mended = f"from face3dmm_ros.live.middleware import free_stale_segments as free; free(); {start}"
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        subprocess.run([sys.executable, "-c", mended], env=environment, check=True, timeout=120)


def test_no_shared_memory_at_all_is_none_to_free(tmp_path):
    assert free_stale_segments(tmp_path / "nowhere") == 0
