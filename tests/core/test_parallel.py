"""Fixed parts: the same results in order, whatever the number of threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bidsapp.core.parallel import chunks, each, use_threads


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def threads(request):
    use_threads(request.param)
    yield request.param
    use_threads(1)


def test_results_come_in_order_and_sums_have_the_same_bits(threads):
    values = np.random.default_rng(0).normal(size=100_003).astype(np.float32)
    parts = chunks(0, len(values), 1000)
    sums = each(lambda part: values[part].sum(), parts)
    assert sums == [values[part].sum() for part in parts]


def test_as_many_work_at_a_time_as_there_are_threads(threads):
    together = threading.Barrier(threads, timeout=10)
    each(lambda part: together.wait(), range(threads))  # breaks if one has to wait for another


def test_parts_within_parts_do_not_wait_for_each_other(threads):
    rows = each(lambda row: each(lambda column: row * column, range(4)), range(8))
    assert rows == [[row * column for column in range(4)] for row in range(8)]


def test_where_no_thread_may_be_started_the_work_is_done_all_the_same(monkeypatch):
    start, started = threading.Thread.start, []

    def allowed_once(thread):
        started.append(thread)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", allowed_once)
    try:
        use_threads(3)
        assert len(started) == 2 and each(lambda part: part + 1, range(9)) == list(range(1, 10))
    finally:
        use_threads(1)
    assert not started[0].is_alive()


def test_an_error_in_a_part_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        each(lambda part: 1 / part, [1, 0, 2])


def test_chunks_are_all_items_once():
    assert np.concatenate([np.arange(50)[part] for part in chunks(3, 45, 8)]).tolist() == list(
        range(3, 45)
    )
    assert chunks(5, 5, 8) == []
