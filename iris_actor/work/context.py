"""IrisContext: what a program that runs inside a job can ask about that, without passing names around."""

from __future__ import annotations

import threading
from typing import Self

from iris_actor.actor.environment import JOB_ID, REGISTRY, Environment
from iris_actor.actor.resolver import Resolver
from iris_actor.errors import OutsideJobError
from iris_actor.naming import JobId
from iris_actor.work.client import IrisClient
from iris_actor.work.site import Site


class IrisContext:
    """Where this process runs, as its environment says. Thread-safe.

    Attributes:
        job_id: the job that this process belongs to.
        registry: URL of the registry.
        task_index: which of the job's replicas this is, from 0.
        num_tasks: how many replicas the job has.
        advertise_host: host name by which others reach this machine; None when nobody said.
        site: what pools and jobs inside this job start from.
    """

    def __init__(self, environment: Environment) -> None:
        if environment.job_id is None:
            raise OutsideJobError(JOB_ID)
        if environment.registry is None:
            raise OutsideJobError(REGISTRY)
        self.job_id: JobId = environment.job_id
        self.registry: str = environment.registry
        self.task_index = environment.task_index
        self.num_tasks = environment.num_tasks
        self.advertise_host = environment.advertise_host
        self.site = Site(self.registry, job_id=self.job_id)
        self._lock = threading.Lock()  # guards _client
        self._client: IrisClient | None = None

    @classmethod
    def read(cls) -> Self:
        """The context of this process's environment.

        Raises:
            OutsideJobError: a variable is missing.
            ValueError: a variable makes no sense.
        """
        return cls(Environment.read())

    @property
    def namespace(self) -> str:
        """Where this job's actors live."""
        return self.job_id.root

    @property
    def parent_job_id(self) -> JobId | None:
        """The job that started this one; None for a root."""
        return self.job_id.parent

    @property
    def client(self) -> IrisClient:
        """A client whose submissions are children of this job. It lives as long as the process."""
        with self._lock:
            if self._client is None:
                self._client = IrisClient.of(self.site)
            return self._client

    @property
    def resolver(self) -> Resolver:
        """Finds actors in this job's namespace."""
        return self.site.resolver

    def __repr__(self) -> str:
        return f"IrisContext(job_id={str(self.job_id)!r}, task {self.task_index} of {self.num_tasks})"


_lock = threading.Lock()
_current: tuple[Environment, IrisContext] | None = None


def iris_ctx() -> IrisContext:
    """The context of the job that this process runs in.

    Raises:
        OutsideJobError: (a RuntimeError) outside a job.
        ValueError: the environment names a job in a way that makes no sense.
    """
    global _current  # noqa: PLW0603 - one a process, for as long as its environment stays the same
    environment = Environment.read()
    with _lock:
        if _current is None or _current[0] != environment:
            _current = environment, IrisContext(environment)
        return _current[1]


def get_iris_ctx() -> IrisContext | None:
    """The context of the job that this process runs in; None outside a job."""
    try:
        return iris_ctx()
    except OutsideJobError:
        return None
