"""PretendReplica: one replica of a `PretendLauncher`: processes of this machine, and what is said of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

from iris_actor.work.launch.launch_spec import NUM_TASKS, TASK_INDEX, LaunchSpec
from iris_actor.work.launch.launcher import Launch, Launcher, StreamName
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.process.flight_recorder import Recording


class PretendReplica:
    """One replica. Guarded by the launcher's lock.

    Args:
        spec: of its launch.
        index: its index there.
        local: starts its processes.
        held: tells why the engine lets it wait; None when it does not.
        on_change: called when its status may have changed.

    Attributes:
        label: its name.
        attempt: how often it was started again.
        told: what the engine said of it last.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        index: int,
        local: Launcher,
        held: Callable[[], str | None],
        on_change: Callable[[], None],
    ) -> None:
        self.label = spec.label(index)
        self.attempt = 0
        # By the command, for the launcher has indices of its own. `env` becomes the program, pid and all.
        place = (f"{TASK_INDEX}={index}", f"{NUM_TASKS}={spec.replicas}")
        self._spec = replace(
            spec, command=("env", *place, *spec.command), replicas=1, labels=(self.label,), restarts=False
        )
        self._restarts = spec.restarts
        self._local = local
        self._held = held
        self._on_change = on_change
        self._launches: list[Launch] = []
        self._is_placed = False
        self._preempted = False
        self._verdict: ReplicaStatus | None = None
        self.told = self.tell()

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its place."""
        return self._verdict is None and not self._is_placed

    def run(self) -> None:
        """It has a place.

        Raises:
            OSError: the command cannot be started.
        """
        self._launches.append(self._local.launch(self._spec, notify=self._on_change))
        self._is_placed = True

    def tell(self) -> ReplicaStatus:
        """What the engine says now."""
        self._move_on()
        self.told = replace(self._verdict or self._now(), attempt=self.attempt)
        return self.told

    def _now(self) -> ReplicaStatus:
        if not self._is_placed:
            return ReplicaStatus(ReplicaState.PENDING, reason=self._held() or "Resources")
        status = self._launches[-1].poll()[0]
        if self._preempted and status.state is ReplicaState.ENDED:
            return replace(status, cause=Cause.PREEMPTED, reason="")
        return status

    def _move_on(self) -> None:
        """Start again after a preemption, if that is wanted."""
        if self._verdict is not None or not self._is_placed:
            return
        status = self._now()
        if status.cause is Cause.PREEMPTED and self._restarts:
            self._start_again()
        elif status.state is ReplicaState.ENDED:
            self._verdict = status

    def _start_again(self) -> None:
        self.attempt += 1
        self._is_placed = self._preempted = False
        if self._held() is None:
            self.run()

    def cancel(self, grace: float) -> None:
        """End it, or take it out of the queue."""
        self._move_on()
        if self._verdict is not None:
            return
        if self._is_placed:
            self._launches[-1].cancel(grace=grace)
        else:
            self._verdict = ReplicaStatus(ReplicaState.ENDED, cause=Cause.CANCELLED)

    def preempt(self, grace: float) -> None:
        """End it for somebody else's sake."""
        if self._verdict is None and self._is_placed:
            self._preempted = True
            self._launches[-1].cancel(grace=grace)

    def lose_node(self) -> None:
        """Its machine is said to be lost; the process runs on."""
        if self._verdict is not None or not self._is_placed:
            return
        if self._restarts:
            self._start_again()
        else:
            self._verdict = ReplicaStatus(ReplicaState.ENDED, socket.gethostname(), cause=Cause.NODE)

    def forget(self) -> None:
        """The engine knows it no more. Whoever has seen its end knows that."""
        self._move_on()
        if self._verdict is None:
            self._verdict = ReplicaStatus(ReplicaState.ENDED, cause=Cause.UNKNOWN)

    def logs(self, stream: StreamName, tail: int | None) -> str:
        """What its youngest process has written."""
        return self._launches[-1].logs(0, stream, tail=tail) if self._launches else ""

    def recorded(self) -> Recording | None:
        """What the flight recorder of its youngest process says."""
        return self._launches[-1].recorded(0) if self._launches else None
