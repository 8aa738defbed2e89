import os

from face3dmm_ros.algebra_threads import single_threaded_algebra, single_threaded_workers

VARIABLES = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}


def test_threads_that_the_user_has_set_stay():
    assert single_threaded_algebra({"OMP_NUM_THREADS": "8"}).keys() == VARIABLES - {"OMP_NUM_THREADS"}


def test_workers_have_one_thread_each_and_the_process_itself_is_left_as_it_was(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    before = dict(os.environ)
    with single_threaded_workers():
        assert [os.environ[variable] for variable in sorted(VARIABLES)] == ["1", "8", "1"]
    assert dict(os.environ) == before
