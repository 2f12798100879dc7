"""Worker processes: order of results, laziness, environment."""

import os

import pytest

from motionlab.utils.worker_pool import map_in_order, open_pool


def _square(number):
    return number**2, os.getpid(), os.environ['OMP_NUM_THREADS']


def test_one_worker_is_this_process_and_takes_items_as_it_goes():
    taken = []
    items = (taken.append(number) or number for number in range(5))
    with open_pool(1) as pool:
        assert pool is None
        results = map_in_order(pool, lambda number: number + 1, items)
        assert next(results) == 1 and taken == [0]


def test_results_come_in_order_from_other_processes(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    taken = []
    items = (taken.append(number) or number for number in range(20))
    with open_pool(2, 'fork') as pool:
        results = map_in_order(pool, _square, items, ahead=3)
        assert next(results)[0] == 0 and len(taken) == 3
        rest = list(results)
    assert [value for value, *_ in rest] == [number**2 for number in range(1, 20)]
    assert os.getpid() not in {process for _, process, _ in rest}
    assert {threads for *_, threads in rest} == {'1'}
    assert os.environ['OMP_NUM_THREADS'] == '7'


def test_an_error_in_a_worker_is_raised_here():
    with open_pool(2, 'fork') as pool, pytest.raises(TypeError):
        list(map_in_order(pool, _square, [1, 'a', 3]))
