"""Environment: what a job's variables say about where this process runs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Self

from iris_actor.naming import DEFAULT_NAMESPACE, JobId, check_namespace

JOB_ID = "IRIS_JOB_ID"
REGISTRY = "IRIS_REGISTRY"
ADVERTISE_HOST = "IRIS_ADVERTISE_HOST"
TASK_INDEX = "IRIS_TASK_INDEX"
NUM_TASKS = "IRIS_NUM_TASKS"


@dataclass(frozen=True, slots=True)
class Environment:
    """The ``IRIS_*`` variables.

    Attributes:
        job_id: ``IRIS_JOB_ID``; None outside a job.
        registry: ``IRIS_REGISTRY``, a URL; None where it is not set.
        advertise_host: ``IRIS_ADVERTISE_HOST``, the name by which others reach this machine.
        task_index: ``IRIS_TASK_INDEX``, which replica this is, from 0.
        num_tasks: ``IRIS_NUM_TASKS``, how many replicas there are.
    """

    job_id: JobId | None
    registry: str | None
    advertise_host: str | None
    task_index: int
    num_tasks: int

    @classmethod
    def read(cls) -> Self:
        """The variables of this process, as they are now.

        Raises:
            ValueError: for a job id or a number that is none.
        """
        job_id = os.environ.get(JOB_ID)
        return cls(
            job_id=JobId(job_id) if job_id else None,
            registry=os.environ.get(REGISTRY) or None,
            advertise_host=os.environ.get(ADVERTISE_HOST) or None,
            task_index=_number(TASK_INDEX, 0),
            num_tasks=_number(NUM_TASKS, 1),
        )

    def namespace(self, given: str | None) -> str:
        """The namespace to use: the one `given`, else the job's, else the default one."""
        if given is not None:
            return check_namespace(given)
        return self.job_id.root if self.job_id else DEFAULT_NAMESPACE

    def advertised(self, host: str, given: str | None) -> str:
        """The host that others are told to connect to, for a server bound to `host`."""
        told = given or self.advertise_host
        if told:
            return told
        return socket.gethostname() if host in {"0.0.0.0", "::", "[::]", ""} else host  # noqa: S104


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"{variable} must be a number from 0, got {text!r}")
    return number
