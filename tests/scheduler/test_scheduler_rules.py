"""What the scheduler decides in situations that pools have come to, each as a short history."""

from __future__ import annotations

import math
from typing import Any

from iris_actor.work.pool.scheduler.actions import (
    GIVE_UP,
    WAKE_UP,
    AskBack,
    End,
    EndReason,
    Lost,
    Removed,
    Send,
    Settle,
    Start,
    Tell,
    Verdict,
)
from iris_actor.work.pool.scheduler.rules import Rules
from iris_actor.work.pool.scheduler.scheduler import Scheduler
from iris_actor.work.pool.scheduler.slot import SlotState
from iris_actor.work.pool.scheduler.task_queue import FEED, NOTHING, TICK
from tests.scheduler.pretend_pool import Kind, Note, PretendTask

SHORT = 1e-5
LONG = 5.0


class History:
    """A scheduler, and the time."""

    def __init__(self, workers: int | tuple[int, int] = 1, **rules: Any) -> None:
        self.now = 100.0
        bounds = workers if isinstance(workers, tuple) else (workers, workers)
        self.scheduler: Scheduler[PretendTask] = Scheduler(Rules(**rules), bounds)
        self.tasks: list[PretendTask] = []

    def tick(self, seconds: float = 0.0, **seen: Note | None) -> list[Any]:
        self.now += seconds
        notes = {int(name[1:]): note for name, note in seen.items()}  # p1=Note(...)
        return self.scheduler.tick(self.now, notes)

    def start(self) -> list[int]:
        """Processes that are started, all ready."""
        starts = [action for action in self.tick() if isinstance(action, Start)]
        numbers = [number for start in starts for number in start.processes]
        for number in numbers:
            self.scheduler.running(number, self.now)
            self.scheduler.found(number, self.now, initialize=False)
        return numbers

    def submit(self, count: int = 1, seconds: float = SHORT, **options: Any) -> list[PretendTask]:
        kind = Kind(seconds)
        kind.mean = seconds
        options = {"timeout": None, "max_retries": 3, "kills": 0, **options}
        first = len(self.tasks) + 2
        new = [PretendTask(first + number, kind, seconds, **options) for number in range(count)]
        self.tasks += new
        for task in new:
            self.scheduler.submit(task)
        return new

    def send(self) -> list[Send[PretendTask]]:
        """All that can be sent, and is on its way."""
        sends = []
        while (send := self.scheduler.next_batch(self.now)) is not None:
            sends.append(send)
            self.scheduler.sent(send.process, [], self.now)
        return sends

    def finish(self, send: Send[PretendTask], seconds: float = SHORT) -> list[PretendTask | None]:
        ends = [(task.seq, True, seconds) for task in send.tasks]
        return self.scheduler.finished(send.process, send.batch, ends, self.now, complete=True)


# --- who gets what -----------------------------------------------------------------------------------


def test_short_tasks_travel_together_and_long_ones_alone() -> None:
    history = History(2)
    history.start()
    history.submit(100, SHORT)
    sizes = [len(send.tasks) for send in history.send()]
    assert sizes[0] == 50  # its share
    assert sum(sizes) == 100
    history = History(2)
    history.start()
    history.submit(10, LONG)
    assert [len(send.tasks) for send in history.send()] == [1, 1]


def test_a_task_that_must_not_start_twice_has_its_worker_to_itself() -> None:
    history = History(1)
    history.start()
    history.submit(1, SHORT, max_retries=0)
    history.submit(5, SHORT)
    (send,) = history.send()
    assert len(send.tasks) == 1
    history.finish(send)
    (send,) = history.send()
    assert len(send.tasks) == 5


def test_without_a_recorder_a_worker_has_one_task_at_a_time() -> None:
    history = History(1, prefetch=False)
    history.start()
    history.submit(3)
    (send,) = history.send()
    assert len(send.tasks) == 1


def test_a_new_task_says_whether_a_worker_has_room_for_it() -> None:
    history = History((0, 2))
    task = PretendTask(2, Kind(1.0), 1.0, timeout=None, max_retries=0, kills=0)
    assert history.scheduler.submit(task) is TICK  # a worker is to be started for it
    history.start()
    assert (
        history.scheduler.submit(PretendTask(3, Kind(1.0), 1.0, timeout=None, max_retries=0, kills=0)) is FEED
    )
    history.send()
    assert (
        history.scheduler.submit(PretendTask(4, Kind(1.0), 1.0, timeout=None, max_retries=0, kills=0))
        is NOTHING
    )


def test_what_waits_behind_a_slow_task_is_asked_back_once_and_goes_to_another_worker() -> None:
    history = History(2)
    first, _ = history.start()
    history.submit(40)
    sends = history.send()
    for send in sends:
        if send.process != first:
            history.finish(send)
    asked = history.tick(1.0)
    assert asked == [AskBack(first)]
    assert history.tick(1.0) == []
    behind = [task.seq for send in sends if send.process == first for task in send.tasks[1:]]
    assert history.scheduler.given_back(first, behind) == []
    assert {task.seq for send in history.send() for task in send.tasks} == set(behind)


def test_a_worker_that_had_nothing_to_give_back_is_not_asked_again_until_it_has_answered() -> None:
    history = History(2)
    first, second = history.start()
    history.submit(40)
    sends = history.send()
    for send in sends:
        if send.process == second:
            history.finish(send)
    assert history.tick(1.0) == [AskBack(first)]
    history.scheduler.given_back(first, [])
    assert not history.scheduler.wants_tick
    assert history.tick(1.0) == []


# --- cancels and timeouts ----------------------------------------------------------------------------


def test_a_task_that_is_cancelled_while_it_is_being_sent_and_then_is_not_sent_keeps_no_worker() -> None:
    for spoiled in (False, True):
        history = History(1)
        history.start()
        task, other = history.submit(2, LONG)
        send = history.scheduler.next_batch(history.now)
        assert send is not None
        assert send.tasks == [task]
        actions = history.scheduler.cancel(task, history.now, kill=True)
        assert Settle(task, Verdict.CANCELLED, send.process) in actions
        if spoiled:
            assert history.scheduler.spoiled(send.process, task.seq) is None
        history.scheduler.sent(send.process, [] if spoiled else [task], history.now, empty=True)
        assert [send.tasks for send in history.send()] == [[other]]


def test_a_task_that_runs_is_told_and_with_kill_its_worker_is_ended_when_it_goes_on() -> None:
    history = History(1)
    (worker,) = history.start()
    (task,) = history.submit(1, LONG)
    history.send()
    assert history.scheduler.cancel(task, history.now, kill=False) == [Tell(worker, task.seq, drop=False)]
    told, settled, wake = history.scheduler.cancel(task, history.now, kill=True)
    assert (told, settled, wake) == (
        Tell(worker, task.seq, drop=True),
        Settle(task, Verdict.CANCELLED, worker),
        WAKE_UP,
    )
    runs = Note(task.seq, history.now, begun=True)
    assert history.tick(0.0, p1=runs) == [End(worker, EndReason.STUCK)]
    assert history.tick(1.0, p1=runs) == []  # once is enough


def test_a_task_is_over_its_time_only_from_when_it_began() -> None:
    history = History(1, cancel_grace=2.0)
    (worker,) = history.start()
    (task,) = history.submit(1, SHORT, timeout=1.0)
    history.send()
    assert history.scheduler.to_observe() == [worker]
    assert history.tick(5.0, p1=Note(0, 0.0, begun=False)) == []
    began = history.now
    assert history.tick(0.5, p1=Note(task.seq, began, begun=True)) == []
    assert history.scheduler.next_due(history.now, {worker: Note(task.seq, began, begun=True)}) == began + 1.0
    actions = history.tick(0.5, p1=Note(task.seq, began, begun=True))
    assert actions == [Tell(worker, task.seq, drop=True), Settle(task, Verdict.TIMED_OUT, worker)]


def test_a_task_with_a_shorter_timeout_wakes_a_thread_that_sleeps_for_longer() -> None:
    history = History(1)
    (worker,) = history.start()
    history.submit(1, SHORT, timeout=1.0)
    assert history.scheduler.next_due(history.now, {}) == math.inf
    send = history.scheduler.next_batch(history.now)
    assert send is not None
    assert WAKE_UP in history.scheduler.sent(worker, [], history.now)


# --- loss --------------------------------------------------------------------------------------------


def test_only_the_task_that_ran_is_charged_with_the_end_of_its_worker() -> None:
    history = History(1)
    (worker,) = history.start()
    tasks = history.submit(5)
    history.send()
    history.scheduler.link_failed(worker, history.now)
    history.scheduler.ended(worker, Note(tasks[2].seq, history.now, begun=True), history.now)
    lost = next(action for action in history.tick() if isinstance(action, Lost))
    assert lost.killer is None
    assert [task.deaths for task in tasks] == [0, 0, 1, 0, 0]
    assert lost.restart_in == 0.0  # a task is to blame, so there is no need to wait


def test_a_task_that_has_been_charged_too_often_ends_with_its_worker() -> None:
    history = History(1)
    (worker,) = history.start()
    (task,) = history.submit(1, SHORT, max_retries=0)
    history.send()
    history.scheduler.link_failed(worker, history.now)
    history.scheduler.ended(worker, Note(task.seq, history.now, begun=True), history.now)
    lost = next(action for action in history.tick() if isinstance(action, Lost))
    assert lost.killer is task


def test_a_worker_that_is_lost_while_it_is_fed_gets_nothing_and_its_tasks_go_to_the_next() -> None:
    history = History(1)
    (worker,) = history.start()
    (task,) = history.submit(1)
    send = history.scheduler.next_batch(history.now)
    assert send is not None
    history.scheduler.link_failed(worker, history.now)
    history.scheduler.ended(worker, Note(0, 0.0, begun=False), history.now)
    assert any(isinstance(action, Lost) for action in history.tick())
    assert history.scheduler.sent(worker, [task], history.now) == []  # the sender comes late
    history.now += 1.0
    history.start()
    assert [send.tasks for send in history.send()] == [[task]]


def test_what_a_worker_says_after_it_was_given_up_changes_nothing() -> None:
    history = History(1)
    (worker,) = history.start()
    (task,) = history.submit(1)
    (send,) = history.send()
    history.scheduler.ended(worker, None, history.now)
    assert not any(
        isinstance(action, Lost) for action in history.tick()
    )  # its last words may be on their way
    assert any(isinstance(action, Lost) for action in history.tick(1.0))
    assert history.finish(send) == [None]
    assert not task.ends
    assert history.scheduler.given_back(worker, [task.seq]) == []


def test_a_worker_that_cannot_be_reached_is_ended_and_does_not_keep_the_thread_busy() -> None:
    history = History(1, cancel_grace=0.5)
    (worker,) = history.start()
    task, _ = history.submit(2, SHORT)
    history.send()
    history.scheduler.cancel(task, history.now, kill=True)
    history.scheduler.link_failed(worker, history.now)
    nothing = Note(0, 0.0, begun=False)
    assert End(worker, EndReason.UNREACHABLE) in history.tick(1.0, p1=nothing)
    assert history.scheduler.next_due(history.now, {worker: nothing}) > history.now


def test_a_worker_that_cannot_be_reached_may_be_found_dead_before_it_is_ended() -> None:
    history = History(1, notice=2.0)
    (worker,) = history.start()
    (task,) = history.submit(1, LONG)
    history.send()
    history.scheduler.link_failed(worker, history.now)
    assert history.tick(1.9, p1=None) == []
    assert history.scheduler.next_due(history.now, {worker: None}) < history.now + 0.2
    history.scheduler.ended(worker, Note(task.seq, history.now, begun=True), history.now)
    assert not any(isinstance(action, End) for action in history.tick(0.2, p1=None))
    assert task.deaths == 1


def test_a_worker_that_cannot_be_reached_and_is_not_found_dead_is_ended() -> None:
    history = History(1, notice=2.0)
    (worker,) = history.start()
    history.scheduler.link_failed(worker, history.now)
    assert history.tick(1.9) == []
    assert history.tick(0.1) == [End(worker, EndReason.UNREACHABLE)]
    assert history.tick(9.9) == []
    assert isinstance(history.tick(0.1)[0], Lost)


def test_a_pool_that_ends_does_not_look_again_for_a_worker_that_it_was_about_to_end() -> None:
    history = History(1, notice=2.0)
    (worker,) = history.start()
    history.scheduler.link_failed(worker, history.now)
    history.tick()
    history.scheduler.ending = True
    assert history.tick() == [End(worker, EndReason.RETIRED)]
    history.tick(3.0)
    assert history.scheduler.next_due(history.now, {}) > history.now


def test_a_process_that_waits_for_its_place_is_never_late() -> None:
    history = History(1, start_timeout=10.0)
    (start,) = (action for action in history.tick() if isinstance(action, Start))
    (worker,) = start.processes
    assert history.tick(3600.0) == []
    history.scheduler.running(worker, history.now)
    assert history.tick(9.0) == []
    end, lost, *_ = history.tick(1.0)
    assert end == End(worker, EndReason.LATE)
    assert isinstance(lost, Lost)
    assert lost.late


def test_time_in_a_queue_counts_against_its_own_timeout_and_begins_anew_with_each_wait() -> None:
    history = History(1, start_timeout=10.0, queue_timeout=100.0)
    (start,) = (action for action in history.tick() if isinstance(action, Start))
    (worker,) = start.processes
    assert history.tick(99.0) == []
    history.scheduler.running(worker, history.now)
    assert history.tick(9.0) == []
    history.scheduler.queued(worker, history.now)  # the engine took its place away
    assert history.tick(99.0) == []
    end, lost, *_ = history.tick(1.0)
    assert end == End(worker, EndReason.LATE)
    assert isinstance(lost, Lost)
    assert (lost.late, lost.queued) == (True, True)


def test_an_end_that_is_the_engines_doing_is_charged_to_nobody() -> None:
    history = History(1, max_restarts=0, restart_delay=lambda _attempt: 3.0)
    (worker,) = history.start()
    (task,) = history.submit(1, LONG, max_retries=1)
    history.send()
    history.scheduler.link_failed(worker, history.now)
    note = Note(task.seq, history.now, begun=True)
    history.scheduler.ended(worker, note, history.now, is_blameless=True)
    lost = next(action for action in history.tick() if isinstance(action, Lost))
    assert (lost.killer, lost.given_up, task.deaths) == (None, False, 0)
    assert lost.restart_in == 3.0  # an engine that takes each place away at once is not to be asked at once


def test_a_task_that_must_not_start_twice_ends_with_its_worker_whoever_ended_that() -> None:
    history = History(1)
    (worker,) = history.start()
    (task,) = history.submit(1, LONG, max_retries=0)
    history.send()
    history.scheduler.link_failed(worker, history.now)
    history.scheduler.ended(worker, Note(task.seq, history.now, begun=True), history.now, is_blameless=True)
    lost = next(action for action in history.tick() if isinstance(action, Lost))
    assert lost.killer is task


def test_the_end_of_a_worker_is_waited_for_no_longer_than_it_may_take() -> None:
    history = History(1, shutdown_grace=5.0, end_timeout=10.0)
    (worker,) = history.start()
    history.scheduler.ending = True
    assert history.tick() == [End(worker, EndReason.RETIRED)]
    assert history.tick(14.0) == []
    assert history.tick(1.0) == [Removed(0, worker, left=True)]
    assert history.scheduler.is_over


def test_a_kill_shortens_the_wait_for_an_end_that_nobody_tells() -> None:
    history = History(1, shutdown_grace=100.0, end_timeout=10.0)
    (worker,) = history.start()
    history.scheduler.ending = True
    history.tick()
    history.scheduler.killed = True
    assert history.tick(1.0) == [End(worker, EndReason.KILLED)]
    assert history.tick(10.0) == [Removed(0, worker, left=True)]


def test_where_nobody_sees_what_a_worker_is_at_a_task_with_a_timeout_has_it_to_itself() -> None:
    history = History(1, sees_running=False)
    history.start()
    history.submit(1, SHORT, timeout=1.0)
    history.submit(5, SHORT)
    (send,) = history.send()
    assert len(send.tasks) == 1
    history.finish(send)
    (send,) = history.send()
    assert len(send.tasks) == 5


def test_a_pool_whose_last_worker_dies_too_often_is_given_up() -> None:
    history = History(2, max_restarts=0)
    first, second = history.start()
    history.submit(1)
    history.scheduler.ended(first, None, history.now)
    assert GIVE_UP not in history.tick(1.0)
    history.scheduler.ended(second, None, history.now)
    assert GIVE_UP in history.tick(1.0)


def test_a_pool_that_shrinks_to_a_worker_that_is_not_started_again_does_not_wait_for_it() -> None:
    history = History(2, max_restarts=0, max_tasks_per_worker=1)
    first, _ = history.start()
    history.scheduler.ended(first, None, history.now)
    history.tick(1.0)
    history.submit(2)
    for send in history.send():
        history.finish(send)
    history.tick()  # the other worker has run as many tasks as one may
    history.scheduler.resize((1, 1))
    assert GIVE_UP in history.tick()


def test_an_elastic_pool_lets_those_go_first_that_are_not_started_again() -> None:
    history = History((1, 2), max_restarts=0, idle_timeout=1.0)
    (first,) = history.start()
    history.submit(3, LONG)
    history.tick(1.0)
    (start,) = (action for action in history.tick(1.0) if isinstance(action, Start))
    (second,) = start.processes
    history.scheduler.ended(second, None, history.now)
    for _ in range(3):
        (send,) = history.send()
        history.finish(send)
    history.tick(0.5)
    states = [slot.state for slot in history.scheduler.crew.slots]
    assert states == [SlotState.READY, SlotState.FAILED]
    history.tick(1.0)
    history.tick()
    assert [slot.process for slot in history.scheduler.crew.slots] == [first]


def test_a_broken_pool_ends_what_is_queued_and_what_workers_have_once() -> None:
    history = History(1)
    history.start()
    tasks = history.submit(3, LONG)
    tasks[2].is_cancelled = True
    history.send()
    settled = [action for action in history.scheduler.break_down() if isinstance(action, Settle)]
    assert {action.task.seq for action in settled} == {tasks[0].seq, tasks[1].seq}
    assert {action.verdict for action in settled} == {Verdict.BROKEN}
    assert history.scheduler.break_down() == []


def test_a_retiring_worker_ends_when_its_tasks_are_over() -> None:
    history = History(2)
    history.start()
    history.submit(2, LONG)
    sends = history.send()
    history.scheduler.resize((1, 1))
    history.tick()
    (leaving,) = (slot for slot in history.scheduler.crew.slots if slot.retiring)
    assert leaving.state is SlotState.READY
    for send in sends:
        history.finish(send)
    assert history.scheduler.needs_tick(leaving.process)
    assert End(leaving.process, EndReason.RETIRED) in history.tick()
