"""Calls in threads: results in their order, exceptions where the result is asked for."""

from __future__ import annotations

import threading

import pytest

from sftdata.threads import Task, map_in_threads


def test_a_task_gives_what_its_call_gave_and_raises_what_it_raised() -> None:
    assert Task(divmod, 7, 2).result() == (3, 1)
    failed = Task(divmod, 1, 0)
    failed.wait()
    with pytest.raises(ZeroDivisionError):
        failed.result()


def test_a_task_runs_beside_its_maker() -> None:
    go_on = threading.Event()
    task = Task(go_on.wait, 60)
    go_on.set()
    assert task.result() is True


def test_a_block_ends_when_the_call_is_done_and_raises_what_it_raised() -> None:
    go_on = threading.Event()
    with Task(go_on.wait, 60) as task:
        go_on.set()
    assert task.result() is True
    with pytest.raises(ZeroDivisionError), Task(divmod, 1, 0):
        pass


def test_a_block_that_fails_waits_for_the_call_and_raises_its_own_exception() -> None:
    done, go_on = [], threading.Event()

    def fail() -> None:
        assert go_on.wait(60)
        done.append(1)
        raise ZeroDivisionError

    with pytest.raises(KeyError), Task(fail):
        go_on.set()
        raise KeyError
    assert done == [1]


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_results_stand_in_the_order_of_the_items(threads: int) -> None:
    assert map_in_threads(threads, str, range(5)) == ["0", "1", "2", "3", "4"]
    assert map_in_threads(threads, str, []) == []


def test_two_threads_work_at_once() -> None:
    both = threading.Barrier(2, timeout=60)
    assert sorted(map_in_threads(2, lambda _: both.wait(), "ab")) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_of_several_exceptions_that_of_the_first_item_is_raised(threads: int) -> None:
    failed = threading.Event()

    def work(item: int) -> None:
        if item == 1 and threads > 1:
            assert failed.wait(60)  # for one behind it
        if item:
            failed.set()
            raise ValueError(str(item))

    with pytest.raises(ValueError, match="1"):
        map_in_threads(threads, work, range(9))
