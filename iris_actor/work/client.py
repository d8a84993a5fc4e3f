"""IrisClient: what a program needs to start work: a registry, a place in the tree of jobs, and a launcher."""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Self

from iris_actor.actor.environment import Environment
from iris_actor.actor.resolver import Resolver
from iris_actor.naming import JobId, check_namespace
from iris_actor.rpc.credentials import Credentials
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.work.launch.launcher import Launcher
from iris_actor.work.site import Site

if TYPE_CHECKING:
    from iris_actor.etcd.process.etcd_process import EtcdProcess


class IrisClient:
    """A registry, a job id, and a launcher. Thread-safe, a context manager.

    Made by `IrisClient.local()` and `IrisClient.remote(url)`; inside a job, `iris_ctx().client`.

    Args:
        registry_url: where actors are announced and looked up.
        job_id: where in the tree of jobs what this client starts belongs; its first segment is the
            namespace.
        launcher: starts processes; a `LocalLauncher` of the client's own when None.
        credentials: what the servers of actors that `resolver` finds ask for.

    Raises:
        LauncherContractError: (a TypeError) the launcher lacks a part of the contract.
    """

    def __init__(
        self,
        registry_url: str,
        *,
        job_id: JobId,
        launcher: Launcher | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._site = Site(registry_url, job_id=job_id, launcher=launcher, credentials=credentials)
        self._guard = ForkGuard()
        self._etcd: EtcdProcess | None = None

    @classmethod
    def of(cls, site: Site) -> Self:
        """A client that starts work from `site`, and closes it."""
        client = cls(site.registry_url, job_id=site.job_id, credentials=site.credentials)
        client._site = site
        return client

    @classmethod
    def local(cls, *, namespace: str | None = None, launcher: Launcher | None = None) -> Self:
        """A client for this machine: an embedded etcd, and local processes. Both end with the client.

        Args:
            namespace: where its actors live; one of its own when None.
            launcher: another launcher than a `LocalLauncher`.

        Raises:
            EtcdNotFoundError: no etcd binary can be found.
            RegistryUnavailableError: etcd does not start.
        """
        from iris_actor.etcd.process.etcd_process import EtcdProcess

        root = f"local-{uuid.uuid4().hex[:8]}" if namespace is None else check_namespace(namespace)
        etcd = EtcdProcess()
        try:
            etcd.start()
            client = cls(etcd.url, job_id=JobId(root), launcher=launcher)
        except BaseException:
            etcd.stop()
            raise
        client._etcd = etcd
        return client

    @classmethod
    def remote(
        cls,
        registry_url: str,
        *,
        namespace: str | None = None,
        launcher: Launcher | None = None,
        credentials: Credentials | None = None,
    ) -> Self:
        """A client for a registry that is there.

        Args:
            registry_url: ``etcd://host:2379[,host2:2379...][/prefix][?ttl=10]``.
            namespace: where its actors live; the job's inside a job, else ``"default"``.
            launcher: starts processes; local ones when None.
            credentials: what the servers of actors ask for.

        Raises:
            InvalidURLError: (a ValueError) for a URL that cannot be understood, as soon as it is used.
            InvalidNameError: (a ValueError) for a bad namespace.
        """
        environment = Environment.read()
        root = environment.namespace(namespace)
        inside = environment.job_id
        job_id = inside if inside is not None and inside.root == root else JobId(root)
        return cls(registry_url, job_id=job_id, launcher=launcher, credentials=credentials)

    @property
    def site(self) -> Site:
        """What pools and jobs of this client start from."""
        return self._site

    @property
    def registry_url(self) -> str:
        """Where actors are announced and looked up."""
        return self._site.registry_url

    @property
    def job_id(self) -> JobId:
        """Where in the tree of jobs this client's work belongs."""
        return self._site.job_id

    @property
    def namespace(self) -> str:
        """The namespace of this client's actors: the first segment of the job id."""
        return self._site.namespace

    @property
    def launcher(self) -> Launcher:
        """What starts processes.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        return self._site.launcher

    @property
    def resolver(self) -> Resolver:
        """Finds actors in this client's namespace.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
        """
        return self._site.resolver

    def close(self) -> None:
        """End what the client started: processes, resolver, etcd, in this order. Idempotent.

        A launcher that was passed in is left to who made it. In a forked child it does nothing.
        """
        if self._guard.forked:
            return
        self._site.close()
        etcd, self._etcd = self._etcd, None
        if etcd is not None:
            etcd.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"IrisClient(job_id={str(self.job_id)!r})"
