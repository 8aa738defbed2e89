"""Whoever imports the package has one thread of linear algebra and of OpenCV, unless he has said otherwise."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
VARIABLES += ("OPENCV_FOR_THREADS_NUM",)
SIZES = "{p['num_threads'] for p in threadpoolctl.threadpool_info()}"
THREADS = f"; import threadpoolctl; print({SIZES})"
OPENCV_THREADS = "; import cv2; print(cv2.getNumThreads())"
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: make torch")
several_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


def printed(program: str, **environment: str) -> str:
    """What a program in a fresh process prints, with no variable about threads but these."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    inherited["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=120, check=True)
    return run.stdout.strip()


@several_cores
@pytest.mark.parametrize(
    "imports",
    [
        "import face3dmm_ros, numpy, scipy.linalg, cv2",
        "import numpy, scipy.linalg, cv2, face3dmm_ros",
        "import numpy, face3dmm_ros, scipy.linalg",
    ],
)
def test_an_import_of_the_package_leaves_algebra_one_thread_in_whatever_order(imports: str) -> None:
    assert printed(imports + THREADS) == "{1}"


@several_cores
@pytest.mark.parametrize("imports", ["import face3dmm_ros, cv2", "import cv2, face3dmm_ros"])
def test_an_import_of_the_package_leaves_opencv_one_thread_in_whatever_order(imports: str) -> None:
    assert printed(imports + OPENCV_THREADS) == "1"


@several_cores
def test_opencvs_threads_that_the_user_has_set_stay() -> None:
    assert printed("import face3dmm_ros" + OPENCV_THREADS, OPENCV_FOR_THREADS_NUM="2") == "2"


@several_cores
@pytest.mark.slow
def test_every_pool_of_a_library_that_has_fitted_a_face_has_one_thread() -> None:
    program = "import numpy; from skimage.data import astronaut; from face3dmm_ros.pipeline import FacePipeline; "
    program += (
        "from face3dmm_ros.fit_methods import create_fitter; from face3dmm_ros.morphable_model import load_model; "
    )
    program += "from face3dmm_ros.landmarks import LandmarkTracker, create_backend; "
    program += "fitter = create_fitter(load_model('default'), 'joint'); "
    program += "pipeline = FacePipeline(LandmarkTracker(create_backend()), fitter); "
    program += "assert pipeline.process(numpy.ascontiguousarray(astronaut()[..., ::-1]))"
    assert printed(program + THREADS + OPENCV_THREADS) == "{1}\n1"


@several_cores
@pytest.mark.slow
def test_every_pool_of_a_command_has_one_thread(tmp_path: Path) -> None:
    picture = tmp_path / "portrait.png"
    program = "import cv2, sys; from skimage.data import astronaut; from face3dmm_ros.cli.main import main; "
    program += f"cv2.imwrite({str(picture)!r}, astronaut()[..., ::-1]); "
    program += f"code = main(['fit', {str(picture)!r}, '--out', {str(tmp_path / 'out')!r}]); assert not code"
    assert printed(program + THREADS + OPENCV_THREADS).splitlines()[-2:] == ["{1}", "1"]


NODE = """
import cv2, importlib, sys, threading, threadpoolctl
module = importlib.import_module("face3dmm_ros.nodes." + sys.argv[1])
from face3dmm_ros.nodes.lifecycle_node import FaceNode
def report(self):
    print(SIZES, cv2.getNumThreads(), flush=True)
    self.context.try_shutdown()
FaceNode._work_on = report
module.main(["--ros-args", *sys.argv[2:]])
""".replace("SIZES", SIZES)
"""A node that prints the sizes of its pools instead of working, in the thread that would work."""


def pools_of_node(tmp_path: Path, *arguments: str, **environment: str) -> str:
    """What a node prints of its pools."""
    program = tmp_path / "node.py"
    program.write_text(NODE, encoding="utf-8")
    return printed(f"import runpy, sys; sys.argv[1:] = {arguments!r}; runpy.run_path({str(program)!r})", **environment)


@several_cores
@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("landmark_node",),
        ("fitter_node",),
        ("renderer_node",),
        ("avatar_node",),
        ("video_source_node", "-p", "source:=sample"),
        pytest.param(("fitter_node", "-p", "fit_method:=regressor+fit"), marks=needs_torch),
    ],
    ids=lambda arguments: arguments[0] + arguments[-1].partition(":=")[2],
)
def test_every_pool_of_a_node_has_one_thread_with_no_variable_set(tmp_path: Path, arguments, ros_domain) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    assert pools_of_node(tmp_path, *arguments) == "{1} 1"


@several_cores
@pytest.mark.slow
def test_a_nodes_threads_that_the_user_has_set_stay(tmp_path: Path, ros_domain) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    assert pools_of_node(tmp_path, "fitter_node", OMP_NUM_THREADS="2").startswith("{2} ")


@several_cores
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
@pytest.mark.parametrize("imports", ["import face3dmm_ros, numpy", "import numpy, face3dmm_ros"])
def test_threads_that_the_user_has_set_stay(imports: str, variable: str) -> None:
    assert printed(imports + THREADS, **{variable: "2"}) == "{2}"


@several_cores
def test_processes_that_the_package_starts_have_one_thread_too() -> None:
    child = "import subprocess, sys, face3dmm_ros; subprocess.run([sys.executable, '-c', {!r}], check=True)"
    assert printed(child.format("import numpy" + THREADS)) == "{1}"


@several_cores
def test_a_worker_has_one_thread_whatever_its_parent_has() -> None:
    program = (
        "import numpy, scipy.linalg, cv2; from face3dmm_ros.core.worker_process import begin_worker; begin_worker()"
    )
    assert printed(program + THREADS + OPENCV_THREADS, OMP_NUM_THREADS="2") == "{1}\n1"


@pytest.mark.slow
def test_torch_keeps_its_threads_for_training() -> None:
    pytest.importorskip("torch", reason="needs torch: make torch")
    own = printed("import torch; print(torch.get_num_threads())")
    assert printed("import face3dmm_ros, torch; print(torch.get_num_threads())") == own
    assert printed("import torch, face3dmm_ros; print(torch.get_num_threads())") == own


def test_the_import_loads_nothing_for_it() -> None:
    assert printed("import sys, face3dmm_ros; print({'numpy', 'threadpoolctl'} & set(sys.modules))") == "set()"
