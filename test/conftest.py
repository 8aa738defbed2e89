"""What the tests share: data, pictures, the default model, and ROS domains that nobody else talks on."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.nodes.middleware import fast_dds_settings

REPOSITORY = Path(__file__).resolve().parent.parent
DOMAINS = range(1, 102)  # those whose ports stay clear of Linux's ephemeral ones


@contextmanager
def unused_ros_domain() -> Iterator[int]:
    """A ROS domain that no other test on this machine holds, of this process or another."""
    folder = Path(tempfile.gettempdir()) / "face3dmm_ros_test_domains"
    folder.mkdir(mode=0o777, exist_ok=True)
    first = os.getpid() % len(DOMAINS)
    for domain in (*DOMAINS[first:], *DOMAINS[:first]):
        with (folder / str(domain)).open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise RuntimeError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use by tests (locks in {folder})")


@pytest.fixture(scope="session", autouse=True)
def _apart_from_other_nodes() -> Iterator[None]:
    """Nothing here or in child processes leaves this machine, or meets the nodes of its usual domain."""
    with unused_ros_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        for name, value in fast_dds_settings(os.environ, loopback=True).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain of the test's own, also in ROS_DOMAIN_ID, which rclpy.init and child processes follow."""
    with unused_ros_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the source tree, which is not part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data sets in {folder}")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """(512, 512, 3) BGR uint8 portrait, in the public domain, with one face; read-only."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, which carries the portrait")
    image = np.ascontiguousarray(data.astronaut()[..., ::-1])
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def default_model() -> MorphableModel:
    """The model that ships with the package."""
    return load_model("default")
