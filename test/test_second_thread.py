"""A second thread takes half of a piece of work where a core is free, and changes nothing else."""

import threading

import pytest

from face3dmm_ros.core import second_thread
from face3dmm_ros.core.second_thread import SecondThread


@pytest.fixture(params=[1, 2], ids=["one core", "two cores"])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(second_thread.os, "sched_getaffinity", lambda _: set(range(request.param)))
    return request.param


def test_work_gives_its_result_as_often_as_it_is_asked_for_and_is_done_once(cores: int) -> None:
    done: list[str] = []

    def work() -> str:
        done.append(threading.current_thread().name)
        return "result"

    with SecondThread("second").beside(work) as result:
        assert [result(), result()] == ["result", "result"]

    assert [name.startswith("second") for name in done] == [cores > 1]


def test_what_the_work_raises_is_raised_where_its_result_is_asked_for(cores: int) -> None:
    def work() -> None:
        raise ValueError("in vain")

    with SecondThread("second").beside(work) as result, pytest.raises(ValueError, match="in vain"):
        result()


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_work_that_nobody_asks_for_is_over_on_leaving(cores: int) -> None:
    begun, may_end, over = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        may_end.wait(20.0)
        over.append(True)

    with SecondThread("second").beside(work):
        assert begun.wait(20.0)
        threading.Timer(0.05, may_end.set).start()

    assert over == [True]


@pytest.mark.parametrize("cores", [1], indirect=True)
def test_on_one_core_work_that_nobody_asks_for_is_not_done(cores: int) -> None:
    with SecondThread("second").beside(lambda: pytest.fail("done in vain")):
        pass


def test_begun_work_goes_on_beside_the_next(cores: int) -> None:
    second, may_end = SecondThread("second"), threading.Event()
    first = second.begin(lambda: may_end.wait(20.0))
    next_one = second.begin(lambda: "next")

    assert next_one() == "next"
    may_end.set()
    assert first()


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_who_finds_the_thread_at_work_does_the_work_itself(cores: int) -> None:
    second, may_end = SecondThread("second"), threading.Event()
    with second.beside(lambda: may_end.wait(20.0)), second.beside(threading.current_thread) as own:
        assert own() is threading.current_thread()
        may_end.set()


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_an_error_of_the_callers_own_leaves_the_thread_free(cores: int) -> None:
    second = SecondThread("second")
    with pytest.raises(KeyError), second.beside(lambda: None):
        raise KeyError
    with second.beside(threading.current_thread) as result:
        assert result() is not threading.current_thread()
