"""Whatever happens to a pool, in whatever order, its scheduler keeps its promises."""

from __future__ import annotations

import os
import random

import pytest

from tests.scheduler.pretend_pool import PretendPool

HISTORIES = int(os.environ.get("IRIS_HISTORIES", "300"))
"""How many histories a test plays."""
SEED = os.environ.get("IRIS_SEED")
"""The seed of one history that is to be played again."""


def seeds() -> list[int]:
    if SEED is not None:
        return [int(SEED)]
    fresh = random.SystemRandom()
    return [*range(HISTORIES // 2), *(fresh.randrange(2**63) for _ in range(HISTORIES // 2))]


def play(*, faults: bool = True, recorder: bool = True, live: bool = True) -> list[PretendPool]:
    played = []
    for seed in seeds():
        pool = PretendPool(seed, faults=faults, recorder=recorder, live=live)
        try:
            pool.run()
        except BaseException as error:
            error.add_note(f"history of seed {seed}: play it again with IRIS_SEED={seed}")
            raise
        played.append(pool)
    return played


def test_each_task_ends_once_whatever_happens_to_workers() -> None:
    pools = play()
    ends = {end for pool in pools for task in pool.tasks for end in task.ends}
    if SEED is None:  # the histories reach what they are about
        assert ends == {"value", "raised", "spoiled", "cancelled", "CANCELLED", "TIMED_OUT", "BROKEN", "lost"}


def test_each_task_ends_once_where_no_recorder_tells_who_killed_a_worker() -> None:
    pools = play(recorder=False)
    assert all(len(task.ends) == 1 for pool in pools for task in pool.tasks)


def test_each_task_ends_once_where_a_worker_tells_only_at_its_end_what_it_was_at() -> None:
    pools = play(live=False)
    assert all(len(task.ends) == 1 for pool in pools for task in pool.tasks)


def test_without_faults_each_task_runs_once_and_none_fails_for_the_pool() -> None:
    for pool in play(faults=False):
        for task in pool.tasks:
            assert len(task.begun_in) == 1
            assert task.ends[0] in {"value", "raised"}
            assert task.deaths == 0


@pytest.mark.parametrize("seed", range(20))
def test_one_worker_begins_tasks_in_the_order_of_their_submission(seed: int) -> None:
    pool = PretendPool(seed, faults=False)
    order: list[int] = []
    begin = pool.begin
    pool.scheduler.resize((1, 1))

    def noted(process: object) -> None:
        begin(process)  # type: ignore[arg-type]
        order.append(pool.processes[process.number].note.seq)  # type: ignore[attr-defined]

    pool.begin = noted  # type: ignore[method-assign]
    pool.run()
    assert order == sorted(order)
    assert len(order) == len(pool.tasks)
