"""LaunchSpec: what a launcher is asked to start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iris_actor.work.launch.resource_spec import ResourceSpec, is_number

TASK_INDEX = "IRIS_TASK_INDEX"
"""Environment variable with a replica's index in its launch; every launcher sets it."""
NUM_TASKS = "IRIS_NUM_TASKS"
"""Environment variable with the number of replicas of the launch; every launcher sets it."""


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to start.

    Attributes:
        name: what a person sees in the list of processes or in the cluster's queue.
        command: program and arguments. Others can list them.
        replicas: how many processes.
        env: environment variables, beside those that the launcher passes on by itself. Others may be able to
            list them, so nothing secret belongs here.
        secrets: what only the replicas may know, by name. It reaches them apart from the environment; they
            read it with `process_secrets.take_secrets`. It is not part of the spec's repr.
        labels: a name for each replica in output and errors; ``name-0``, ``name-1`` … when empty.
        resources: what each replica needs.
        cwd: working directory; None for the launcher's default.
        time_limit: seconds that a replica may run, counted from when it runs; then the launcher ends it.
            None for no limit. An engine may round it up.
        gang: whether the replicas are of use only together. Then they start together or not at all, and the
            engine may end the others when one fails. If not, the engine may start them hours apart.
        restarts: whether the engine may start a replica again by itself after it was preempted or its machine
            was lost. Each start is another attempt.

    Raises:
        ValueError: naming the value and its rule.
    """

    name: str
    command: tuple[str, ...]
    replicas: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: tuple[str, ...] = ()
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    cwd: str | None = None
    time_limit: float | None = None
    gang: bool = False
    restarts: bool = False

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("LaunchSpec.command must name a program")
        if self.replicas < 1:
            raise ValueError(f"LaunchSpec.replicas must be 1 or more, got {self.replicas!r}")
        if self.labels and len(self.labels) != self.replicas:
            raise ValueError(
                f"LaunchSpec.labels must name each of {self.replicas} replicas, got {self.labels!r}"
            )
        if self.time_limit is not None and (not is_number(self.time_limit) or self.time_limit <= 0):
            raise ValueError(
                f"LaunchSpec.time_limit must be a positive number of seconds, got {self.time_limit!r}"
            )
        for name, value in self.secrets.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise ValueError(f"LaunchSpec.secrets must map str to str, see the one named {name!r}")  # noqa: TRY004 - one kind of error per spec
            if name in self.env:
                raise ValueError(f"LaunchSpec.env and LaunchSpec.secrets must not share names, got {name!r}")

    def label(self, replica: int) -> str:
        """Name of a replica in output and errors."""
        return self.labels[replica] if self.labels else f"{self.name}-{replica}"
