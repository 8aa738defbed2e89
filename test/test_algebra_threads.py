"""Whoever imports the package has one thread of linear algebra, unless he has said otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
THREADS = "; import threadpoolctl; print({p['num_threads'] for p in threadpoolctl.threadpool_info()})"
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
    program = "import numpy, scipy.linalg; from face3dmm_ros.core.worker_process import begin_worker; begin_worker()"
    assert printed(program + THREADS, OMP_NUM_THREADS="2") == "{1}"


@pytest.mark.slow
def test_torch_keeps_its_threads_for_training() -> None:
    pytest.importorskip("torch", reason="needs torch: make torch")
    own = printed("import torch; print(torch.get_num_threads())")
    assert printed("import face3dmm_ros, torch; print(torch.get_num_threads())") == own
    assert printed("import torch, face3dmm_ros; print(torch.get_num_threads())") == own


def test_the_import_loads_nothing_for_it() -> None:
    assert printed("import sys, face3dmm_ros; print({'numpy', 'threadpoolctl'} & set(sys.modules))") == "set()"
