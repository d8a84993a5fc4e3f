"""What the dispatcher keeps about many workers agrees with the workers, whatever happened to them."""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from iris_actor.registry.endpoint import ActorId, Endpoint
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.dispatcher import Dispatcher
from iris_actor.work.pool.task_options import TaskOptions
from iris_actor.work.pool.worker_link import WorkerLink
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot
from iris_actor.work.worker.task_wire import Kind, unpack_value


class _HeldLink(WorkerLink):
    """The way to a worker that is not there: what it is asked is kept until the test answers."""

    def __init__(self, asked: list[tuple[str, Any, Any]]) -> None:
        super().__init__(Endpoint("test/worker", ActorId("absent"), "127.0.0.1:1"), None)
        self._asked = asked

    def run(
        self, batch_id: int, definitions: Any, forgotten: Any, tasks: Any, settings: Any, on_reply: Any
    ) -> None:
        self.settings = settings
        self._asked.append(("run", list(tasks), on_reply))

    def withdraw(self, on_reply: Any) -> None:
        self._asked.append(("withdraw", None, on_reply))


def _answered(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def _short(x: int) -> int:
    return x


def _long(x: int) -> int:
    return -x


class _Driven:
    """A dispatcher with 40 workers, of which the dice decide what happens to them."""

    def __init__(self, seed: int) -> None:
        self.futures: list[tuple[int, Any]] = []
        self.worth_taking_back = 0
        self._dice = random.Random(seed)
        self._asked: list[tuple[str, Any, Any]] = []
        self._dispatcher = Dispatcher(WorkerPoolConfig(num_workers=40), prefetch=True, wake=lambda: None)
        self._dispatcher.slots.extend(WorkerSlot(index) for index in range(40))

    def run(self) -> None:
        dice, dispatcher = self._dice, self._dispatcher
        for slot in dispatcher.slots:
            self._get_ready(slot)
        options = TaskOptions()
        for _ in range(30):
            fn = dice.choice([_short, _long])
            for x in range(dice.choice([1, 30, 300])):
                self.futures.append((x, dispatcher.submit(fn, (x,), {}, options)))
            for _ in range(dice.randrange(60)):
                if self._asked:
                    self._answer()
                if dice.random() < 0.05:
                    self._lose_one()
                if self._check():
                    dispatcher.withdrawal.look()
                    self._check()
        while self._asked:
            self._answer()
            self._check()

    def _check(self) -> bool:
        """Compare what is kept with what a look at every worker says."""
        dispatcher = self._dispatcher
        with dispatcher.lock:
            slots, waiting = dispatcher.slots, dispatcher.queue.waiting
            idle = [slot for slot in slots if dispatcher._has_room(slot) and not slot.outstanding]
            assert dispatcher.bored == (not waiting and bool(idle))
            laden = [slot for slot in slots if dispatcher.withdrawal._may_be_asked(slot, 0.0)]
            found = dispatcher.withdrawal.worthwhile()
            assert found == (dispatcher.bored and bool(laden))
        self.worth_taking_back += found
        return found

    def _answer(self) -> None:
        kind, tasks, on_reply = self._asked.pop(self._dice.randrange(len(self._asked)))
        if kind == "withdraw":
            on_reply(_answered([]))
            return
        # Now and then a task takes a thousand times as long as others.
        outcomes = []
        for task in tasks:
            args, _ = unpack_value(task[2])
            seconds = 0.02 if self._dice.random() < 0.2 else 2e-5
            outcomes.append((task[0], int(Kind.VALUE), (args[0],), seconds, None))
        on_reply(_answered((outcomes, True)))

    def _lose_one(self) -> None:
        dispatcher = self._dispatcher
        slot = self._dice.choice(dispatcher.slots)
        with dispatcher.lock:
            tasks = dispatcher.take_from(slot)
            slot.link = None
            dispatcher.set_state(slot, SlotState.LOST)
        self._check()
        dispatcher.queue.requeue(tasks)
        self._get_ready(slot)

    def _get_ready(self, slot: WorkerSlot) -> None:
        with self._dispatcher.lock:
            slot.link = _HeldLink(self._asked)
            slot.feeding = slot.withdrawing = False
            self._dispatcher.set_state(slot, SlotState.READY)
        self._dispatcher.pump()


def test_what_is_known_of_workers_agrees_with_them() -> None:
    driven = [_Driven(seed) for seed in range(8)]
    # Not in the main thread, which leaves the sending to another one.
    with ThreadPoolExecutor(1) as other_thread:
        for each in driven:
            other_thread.submit(each.run).result(60)
    for each in driven:
        assert [future.result(0) for _, future in each.futures] == [x for x, _ in each.futures]
    assert sum(each.worth_taking_back for each in driven), "no worker was ever bored while another was laden"
