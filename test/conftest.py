"""What the tests share: data, pictures, the default model, and ROS domains that nobody else talks on."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.live.middleware import fast_dds_settings
from face3dmm_ros.morphable_model import MorphableModel, load_model

if TYPE_CHECKING:
    from ros_harness import Harness

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes says how busy one is
hypothesis.settings.load_profile("any machine")
REPOSITORY = Path(__file__).resolve().parent.parent
DOMAINS = range(1, 102)  # those whose ports stay clear of Linux's ephemeral ones


_turns = cycle([*DOMAINS[os.getpid() % len(DOMAINS) :], *DOMAINS[: os.getpid() % len(DOMAINS)]])


@contextmanager
def unused_ros_domain() -> Iterator[int]:
    """A ROS domain that no other test on this machine holds, of this process or another, nor held a short while ago.

    What the last participant of a domain sent may still lie in its shared memory: nodes that start there at once would
    believe in nodes that are gone, and now and then never find each other.
    """
    folder = Path(tempfile.gettempdir()) / "face3dmm_ros_test_domains"
    folder.mkdir(mode=0o777, exist_ok=True)
    for domain in islice(_turns, len(DOMAINS)):
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


@pytest.fixture
def spun(ros_domain: int) -> Iterator["Harness"]:
    """Nodes and a listener to them in a domain of their own; for tests that need ROS."""
    from ros_harness import harness

    with harness() as spun:
        yield spun


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


@pytest.fixture(scope="module")
def renderer(default_model: MorphableModel) -> Iterator[SceneRenderer]:
    """Draws scenes of the default model."""
    try:
        opened = SceneRenderer(default_model)
    except Face3DMMError as error:
        pytest.skip(f"no OpenGL here: {error}")
    with opened:
        yield opened


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
