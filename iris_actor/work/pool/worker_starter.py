"""WorkerStarter: from the launch of a worker's process until it is ready for tasks.

::

    start(slots) ─▶ launcher ─▶ process ─▶ registry ─▶ find(slot) ─▶ link ─▶ initializer ─▶ on_ready
                                                          └─ not in time, or not at all ──▶ on_died
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from iris_actor import codec
from iris_actor.rpc.credentials import Credentials
from iris_actor.work.client import IrisClient
from iris_actor.work.launch.launcher import is_final
from iris_actor.work.pool.config import WorkerPoolConfig
from iris_actor.work.pool.dispatcher import Dispatcher
from iris_actor.work.pool.driver_settings import current_settings
from iris_actor.work.pool.outcome_receiver import MAX_BY_VALUE
from iris_actor.work.pool.task_queue import one_line
from iris_actor.work.pool.worker_launch import worker_spec
from iris_actor.work.pool.worker_link import WorkerLink
from iris_actor.work.pool.worker_slot import SlotState, WorkerSlot
from iris_actor.work.worker.task_wire import INITIALIZER, Kind, OutcomeMessage, TaskMessage, pack, unpack
from iris_actor.work.worker.worker_main import actor_name


class WorkerStarter:
    """Starts workers for the keeper, in its thread; only the initializer's outcome comes from another one.

    Args:
        client: whose launcher and registry are used.
        config: of the pool.
        dispatcher: of the pool.
        pool_name: the pool's name.
        wake: has the keeper look at its workers.
        on_ready: called with a slot whose worker is ready.
        on_died: called with a slot whose worker cannot be had, and why.
    """

    def __init__(
        self,
        client: IrisClient,
        config: WorkerPoolConfig,
        dispatcher: Dispatcher,
        *,
        pool_name: str,
        wake: Callable[[], None],
        on_ready: Callable[[WorkerSlot], None],
        on_died: Callable[[WorkerSlot, str], None],
    ) -> None:
        self._client = client
        self._config = config
        self._dispatcher = dispatcher
        self._lock = dispatcher.lock
        self._pool_name = pool_name
        self._wake = wake
        self._on_ready = on_ready
        self._on_died = on_died
        self._token = uuid.uuid4().hex + uuid.uuid4().hex
        self._hash_seed = 1 + int.from_bytes(os.urandom(4), "big") % (2**32 - 1)  # 0 would turn it off

    def start(self, group: list[WorkerSlot]) -> None:
        """Start processes for slots with consecutive indices."""
        client = self._client
        launch_id = uuid.uuid4().hex
        spec = worker_spec(
            client,
            self._config,
            pool_name=self._pool_name,
            launch_id=launch_id,
            token=self._token,
            hash_seed=self._hash_seed,
            names=[slot.name for slot in group],
            first=group[0].index,
        )
        try:
            launch = client.launcher.launch(spec, notify=self._wake)
        except OSError as error:
            if is_final(error) and not self._any_started():
                self._dispatcher.break_down(f"no worker can be started: {error}", error)
                return
            for slot in group:
                self._on_died(slot, f"cannot be started: {error}")
            return
        with self._lock:
            for replica, slot in enumerate(group):
                slot.launch, slot.replica, slot.launch_id = launch, replica, launch_id
                slot.was_ready = False
                slot.ended_for = ""
                slot.due = time.monotonic() + self._config.start_timeout
                self._dispatcher.set_state(slot, SlotState.STARTING)
        for slot in group:
            if slot.unsubscribe is None:
                slot.unsubscribe = client.resolver.subscribe(self._actor_name(slot), self._wake)

    def _any_started(self) -> bool:
        """Whether the command ever worked; what it needs may come back then."""
        with self._lock:
            return any(slot.launch is not None for slot in self._dispatcher.slots)

    def _actor_name(self, slot: WorkerSlot) -> str:
        return actor_name(self._pool_name, slot.name)

    def find(self, slot: WorkerSlot) -> None:
        """Look whether the worker of `slot` has announced itself."""
        client = self._client
        found = client.resolver.known(self._actor_name(slot))
        for endpoint in () if found is None else found.endpoints:
            if endpoint.metadata.get("launch") == slot.launch_id:
                link = WorkerLink(endpoint, Credentials(token=self._token))
                with self._lock:
                    slot.link = link
                    slot.due = 0.0
                self._set_up(slot, link)
                return
        if time.monotonic() >= slot.due:
            text = f"did not announce itself within {self._config.start_timeout:g} s"
            if slot.launch is not None:
                slot.launch.cancel(slot.replica, grace=0.0)
            self._on_died(slot, text)

    def _set_up(self, slot: WorkerSlot, link: WorkerLink) -> None:
        config = self._config
        if config.initializer is None:
            self._on_ready(slot)
            return
        with self._lock:
            link.batches += 1
            self._dispatcher.set_state(slot, SlotState.SETTING_UP)
        # Not a task: it has no future, is not retried, and nobody counts it.
        try:
            body = codec.dumps((config.initializer, config.initargs, {}))
        except BaseException as error:  # code of the user's; when the pool was made, it pickled
            self._dispatcher.break_down(f"the initializer does not pickle: {one_line(error)}", error)
            return
        message = tuple(TaskMessage(INITIALIZER, 0, pack(body), spread=False))
        link.run(0, [], [], [message], current_settings(), partial(self._on_set_up, slot, link))

    def _on_set_up(self, slot: WorkerSlot, link: WorkerLink, call: Future[Any]) -> None:
        try:
            messages, _ = call.result()
            outcome = OutcomeMessage(*messages[0])
        except BaseException as error:
            with self._lock:
                link.batches = 0
                link.error = error
            self._wake()
            return
        with self._lock:
            link.batches -= 1
        if outcome.kind == Kind.VALUE:
            self._on_ready(slot)
            return
        missing = outcome.missing if slot.by_value < MAX_BY_VALUE else None
        if missing and self._dispatcher.functions.send_by_value(missing):
            slot.by_value += 1
            self._set_up(slot, link)
            return
        raised = codec.load_exception(unpack(outcome.packed))
        text = codec.exception_text(raised.__cause__ or raised).strip().strip('"').strip()
        self._dispatcher.break_down(f"the initializer failed in {slot.name}:\n{text}", raised)
