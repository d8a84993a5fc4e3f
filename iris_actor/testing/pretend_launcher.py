"""PretendLauncher: a launcher with an engine that does as it is told, for tests.

::

    launch ─▶ PretendLaunch ─▶ queue ── hold, admit ──▶ processes of this machine (LocalLauncher)
                  │                                            │
                poll ◀── what the engine says: silence, forget, preempt, lose_node
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from iris_actor.testing.pretend_replica import PretendReplica
from iris_actor.work.launch.launch_spec import LaunchSpec
from iris_actor.work.launch.launcher import Launch, LauncherTraits, StreamName
from iris_actor.work.launch.local.local_launcher import LocalLauncher
from iris_actor.work.launch.output.output_pump import Sink, write_to_driver
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.process.flight_recorder import Recording

_KIND = "pretend"


class PretendLaunch:
    """The replicas of one spec, as the pretended engine tells of them. Thread-safe."""

    def __init__(
        self,
        ref: str,
        replicas: list[PretendReplica],
        launcher: PretendLauncher,
        notify: Callable[[], None] | None,
        *,
        gang: bool,
    ) -> None:
        self._ref = ref
        self.replicas = replicas
        self.gang = gang
        self._launcher = launcher
        self._notified = [] if notify is None else [notify]

    @property
    def ref(self) -> str:
        """See `Launch`."""
        return self._ref

    def notify_also(self, notify: Callable[[], None] | None) -> None:
        """Call `notify`, too, when something may have changed."""
        if notify is not None:
            self._notified.append(notify)

    def changed(self) -> None:
        """Tell whoever wants to know that something may have changed."""
        for notify in list(self._notified):
            notify()

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """See `Launch`."""
        return self._launcher.statuses(self.replicas)

    def cancel(self, replica: int | None = None, *, attempt: int | None = None, grace: float = 5.0) -> None:
        """See `Launch`."""
        chosen = self.replicas if replica is None else [self.replicas[replica]]
        self._launcher.cancel(chosen, attempt, grace)
        self.changed()

    def logs(self, replica: int, stream: StreamName = "stderr", *, tail: int | None = None) -> str:
        """See `Launch`."""
        return self.replicas[replica].logs(stream, tail)

    def recorded(self, replica: int) -> Recording | None:
        """See `Launch`."""
        return self.replicas[replica].recorded() if self._launcher.traits.shares_memory else None


class PretendLauncher:
    """A launcher for tests: its engine queues, forgets, is silent, preempts and loses machines when told to.

    The processes are real, and run on this machine. They end with the launcher, whatever the engine pretends.
    Replicas are named by their labels (``worker-0``); the youngest of a name is meant.

    Args:
        shares_memory: see `LauncherTraits`.
        end_timeout: see `LauncherTraits`.
        sink: as for `LocalLauncher`.

    Thread-safe, a context manager.
    """

    def __init__(
        self, *, shares_memory: bool = False, end_timeout: float = 2.0, sink: Sink = write_to_driver
    ) -> None:
        self.traits = LauncherTraits(
            _KIND, poll_interval=0.1, shares_memory=shares_memory, notice=0.5, end_timeout=end_timeout
        )
        self._local = LocalLauncher(sink=sink)
        self._id = uuid.uuid4().hex[:8]
        self._lock = threading.RLock()  # guards what follows, and every PretendReplica
        self._launches: list[PretendLaunch] = []
        self._held: str | None = None
        self._silent = False
        self._unheard: list[tuple[list[PretendReplica], int | None, float]] = []
        self._closed = False

    @property
    def python(self) -> tuple[str, ...]:
        """See `Launcher`."""
        return self._local.python

    @property
    def launches(self) -> tuple[PretendLaunch, ...]:
        """All launches, in the order of their start."""
        with self._lock:
            return tuple(self._launches)

    # --- what the engine is told ----------------------------------------------------------------------

    def hold(self, reason: str = "Priority") -> None:
        """Let replicas wait that are launched, or started again, from now on.

        Args:
            reason: why, as their status says.
        """
        with self._lock:
            self._held = reason

    def admit(self, count: int | None = None) -> None:
        """Let replicas run that wait, the oldest first.

        Args:
            count: how many, and the rest of their gangs; None for all, and all that come from now on.
        """
        with self._lock:
            if count is None:
                self._held = None
            waiting = [each for launch in self._launches for each in launch.replicas if each.is_waiting]
            chosen = waiting[:count]
            gangs = [
                launch for launch in self._launches if launch.gang and set(launch.replicas) & set(chosen)
            ]
            chosen += [each for launch in gangs for each in launch.replicas if each not in chosen]
            for replica in chosen:
                if replica.is_waiting:
                    replica.run()
        self._changed()

    def silence(self) -> None:
        """Answer nothing from now on. Statuses stay as they were last told, and a cancel is not heard."""
        with self._lock:
            for launch in self._launches:
                self.statuses(launch.replicas)
            self._silent = True

    def answer(self) -> None:
        """Answer again. What was asked meanwhile is done now."""
        with self._lock:
            self._silent = False
            unheard, self._unheard = self._unheard, []
            for replicas, attempt, grace in unheard:
                self.cancel(replicas, attempt, grace)
        self._changed()

    def forget(self) -> None:
        """Forget all launches, as an engine does some time after their end. Processes that run go on."""
        with self._lock:
            for launch in self._launches:
                for replica in launch.replicas:
                    replica.forget()
        self._changed()

    def preempt(self, label: str, *, grace: float = 0.0) -> None:
        """Give a replica's place to somebody else. It starts again if its spec says so (`restarts`).

        Args:
            label: of the replica.
            grace: seconds between SIGTERM and SIGKILL.
        """
        with self._lock:
            self._find(label).preempt(grace)
        self._changed()

    def lose_node(self, label: str) -> None:
        """Lose the machine of a replica, whose process runs on there. It starts again if its spec says so."""
        with self._lock:
            self._find(label).lose_node()
        self._changed()

    def _find(self, label: str) -> PretendReplica:
        for launch in reversed(self._launches):
            for replica in launch.replicas:
                if replica.label == label:
                    return replica
        raise LookupError(f"no replica has the label {label!r}")

    def _changed(self) -> None:
        for launch in self.launches:
            launch.changed()

    # --- the contract ---------------------------------------------------------------------------------

    def launch(self, spec: LaunchSpec, *, notify: Callable[[], None] | None = None) -> PretendLaunch:
        """See `Launcher`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is closed")
            ref = f"{_KIND}:{self._id}/{len(self._launches)}/{spec.replicas}"
            launch = PretendLaunch(ref, [], self, notify, gang=spec.gang)
            for index in range(spec.replicas):
                replica = PretendReplica(spec, index, self._local, lambda: self._held, launch.changed)
                launch.replicas.append(replica)
            try:
                for replica in launch.replicas:
                    if self._held is None:
                        replica.run()
            except OSError:
                self.cancel(launch.replicas, None, 0.0)
                raise
            self._launches.append(launch)
            _known[ref] = launch
            return launch

    def attach(self, ref: str, *, notify: Callable[[], None] | None = None) -> Launch:
        """See `Launcher`. The pretended engine ends with this process, and with it all that it knows."""
        parts = ref.removeprefix(f"{_KIND}:").split("/")
        if not ref.startswith(f"{_KIND}:") or len(parts) != 3 or not parts[2].isdigit():
            raise ValueError(f"not the ref of a pretended launch: {ref!r}")
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is closed")
        launch = _known.get(ref)
        if launch is None:
            return _Forgotten(ref, int(parts[2]))
        launch.notify_also(notify)
        return launch

    def statuses(self, replicas: list[PretendReplica]) -> tuple[ReplicaStatus, ...]:
        """What the engine says of these replicas."""
        with self._lock:
            return tuple(replica.told if self._silent else replica.tell() for replica in replicas)

    def cancel(self, replicas: list[PretendReplica], attempt: int | None, grace: float) -> None:
        """Have these replicas end, once the engine hears it."""
        with self._lock:
            if self._silent:
                self._unheard.append((replicas, attempt, grace))
                return
            for replica in replicas:
                if attempt in {None, replica.attempt}:
                    replica.cancel(grace)

    def close(self) -> tuple[str, ...]:
        """See `Launcher`. While the engine is silent, nobody knows that anything has ended."""
        with self._lock:
            self._closed = True
            self.cancel([each for launch in self._launches for each in launch.replicas], None, 5.0)
        self._local.close()
        with self._lock:
            return tuple(
                replica.label
                for launch in self._launches
                for replica, status in zip(launch.replicas, launch.poll(), strict=True)
                if status.state is not ReplicaState.ENDED
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class _Forgotten:
    """A launch that the engine knows no more."""

    def __init__(self, ref: str, replicas: int) -> None:
        self.ref = ref
        self._statuses = tuple(
            ReplicaStatus(ReplicaState.ENDED, cause=Cause.UNKNOWN) for _ in range(replicas)
        )

    def poll(self) -> tuple[ReplicaStatus, ...]:
        return tuple(replace(status) for status in self._statuses)

    def cancel(self, replica: int | None = None, *, attempt: int | None = None, grace: float = 5.0) -> None:
        pass

    def logs(self, replica: int, stream: StreamName = "stderr", *, tail: int | None = None) -> str:  # noqa: ARG002
        return ""

    def recorded(self, replica: int) -> Recording | None:  # noqa: ARG002
        return None


_known: WeakValueDictionary[str, PretendLaunch] = WeakValueDictionary()
"""All launches of this process, which is the engine's memory."""
