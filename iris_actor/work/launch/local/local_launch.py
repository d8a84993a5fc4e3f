"""LocalLaunch: the processes of one spec."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.work.launch.launch_spec import LaunchSpec
from iris_actor.work.launch.launcher import StreamName
from iris_actor.work.launch.local.process_ref import make_ref
from iris_actor.work.launch.local.reaper import Reaper
from iris_actor.work.launch.local.replica import Replica
from iris_actor.work.launch.replica_status import ReplicaStatus
from iris_actor.work.process.flight_recorder import Recording


class LocalLaunch:
    """The processes of one spec, in the process that has started them. Thread-safe.

    Args:
        spec: what to start.
        reaper: sees to the processes.
        start: starts the replica of an index of a spec.
        notify: called when one has ended.

    Raises:
        OSError, RuntimeError: see `Launcher.launch`.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        reaper: Reaper,
        start: Callable[[LaunchSpec, int], Replica],
        notify: Callable[[], None] | None,
    ) -> None:
        self._guard = (
            ForkGuard()
        )  # asked before the reaper's lock, as the parent may have held it at the fork
        self._reaper = reaper
        self._notified: list[Callable[[], None]] = [] if notify is None else [notify]
        self._replicas = reaper.start(spec.replicas, partial(start, spec), self._on_end)
        self._ref = make_ref(replica.process.pid for replica in self._replicas)

    @property
    def ref(self) -> str:
        """See `Launch`."""
        return self._ref

    def notify_also(self, notify: Callable[[], None]) -> None:
        """Call `notify`, too, when a replica has ended."""
        self._notified.append(notify)

    def _on_end(self) -> None:
        for notify in list(self._notified):
            notify()

    def poll(self) -> tuple[ReplicaStatus, ...]:
        """See `Launch`."""
        return self._reaper.statuses(self._replicas)

    def cancel(self, replica: int | None = None, *, attempt: int | None = None, grace: float = 5.0) -> None:
        """See `Launch`. This launcher starts nothing again: there is no attempt but 0."""
        if attempt in {None, 0} and not self._guard.forked:
            chosen = self._replicas if replica is None else [self._replicas[replica]]
            self._reaper.cancel(chosen, grace)

    def logs(self, replica: int, stream: StreamName = "stderr", *, tail: int | None = None) -> str:
        """See `Launch`. The last 20 lines of each stream are kept, or 8 KiB where those are more."""
        return self._replicas[replica].output.tail(stream, tail)

    def recorded(self, replica: int) -> Recording | None:
        """See `Launch`."""
        return self._reaper.recorded(self._replicas[replica])
