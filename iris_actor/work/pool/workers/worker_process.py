"""WorkerProcess: one process of a pool, and the way to it."""

from __future__ import annotations

from iris_actor.work.launch.launcher import Launch, ReplicaStatus
from iris_actor.work.pool.workers.worker_link import WorkerLink
from iris_actor.work.process.flight_recorder import Recording
from iris_actor.work.process.witness import find_note, without_notes

_LAST_LINES = 20
"""Lines of stderr that are looked at when a worker has ended."""


class WorkerProcess:
    """One worker process, from its launch until the pool forgets it. Written by the engine's thread.

    Attributes:
        number: what the scheduler calls it.
        index: the number in its name; a process that takes its place has the same.
        launch, replica, launch_id: what the launcher knows it by. `launch` is None where nobody started it.
        link: the way to it; None before it is found and after it is given up.
        error: why the link is of no more use. Written by any thread.
        ending: whether the pool has asked it to end, because it is not needed any more.
        ended_for: why the pool ended it; empty when the pool did not.
        by_value: how many modules had to be sent by value for the initializer's sake.
    """

    __slots__ = (
        "by_value",
        "ended_for",
        "ending",
        "error",
        "index",
        "launch",
        "launch_id",
        "link",
        "number",
        "replica",
    )

    def __init__(
        self, number: int, index: int, *, launch: Launch | None = None, replica: int = 0, launch_id: str = ""
    ) -> None:
        self.number = number
        self.index = index
        self.launch = launch
        self.replica = replica
        self.launch_id = launch_id
        self.link: WorkerLink | None = None
        self.error: BaseException | None = None
        self.ended_for = ""
        self.ending = False
        self.by_value = 0

    @property
    def name(self) -> str:
        """The worker's name."""
        return worker_name(self.index)

    @property
    def status(self) -> ReplicaStatus | None:
        """What the launcher knows of it."""
        return None if self.launch is None else self.launch.poll()[self.replica]

    @property
    def last_words(self) -> str:
        """The last lines that it wrote to stderr."""
        return "" if self.launch is None else without_notes(self.launch.logs(self.replica, tail=_LAST_LINES))

    @property
    def recording(self) -> Recording | None:
        """What its flight recorder says; None where nobody can look into that."""
        if self.error is not None:  # it may have ended, though nobody knows yet
            return self.last_recording
        return None if self.launch is None else self.launch.recorded(self.replica)

    @property
    def last_recording(self) -> Recording | None:
        """What its flight recorder said last, when it has ended; None where nobody knows."""
        launch = self.launch
        if launch is None:
            return None
        recording = launch.recorded(self.replica)
        return find_note(launch.logs(self.replica, tail=_LAST_LINES)) if recording is None else recording

    def cancel(self, grace: float) -> None:
        """Have it end, and kill it after `grace` seconds."""
        if self.launch is not None:
            self.launch.cancel(self.replica, grace=grace)

    def close_link(self) -> None:
        """Forget the way to it. Idempotent."""
        link, self.link = self.link, None
        if link is not None:
            link.close()


def worker_name(index: int) -> str:
    """The name of a pool's worker number `index`."""
    return f"worker-{index}"
