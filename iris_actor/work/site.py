"""Site: where work is started from. Pools and jobs both begin with it.

::

    IrisClient, IrisContext ─▶ Site ─┬─▶ registry, resolver, credentials    where processes find each other
                                     ├─▶ job id                             what they belong to
                                     └─▶ launcher                           what starts them
"""

from __future__ import annotations

import threading

from iris_actor.actor.registry_resolver import RegistryResolver
from iris_actor.actor.resolver import Resolver
from iris_actor.naming import JobId
from iris_actor.rpc.credentials import Credentials
from iris_actor.threads.fork_guard import ForkGuard
from iris_actor.work.launch.launcher import Launcher, check_launcher


class Site:
    """A registry, a job id, a launcher, and credentials. Thread-safe.

    Launcher and resolver are made when they are first asked for.

    Args:
        registry_url: where actors are announced and looked up.
        job_id: where in the tree of jobs what is started here belongs; its first segment is the namespace.
        launcher: starts processes; a `LocalLauncher` of the site's own when None.
        credentials: what the servers of actors that `resolver` finds ask for.

    Attributes:
        registry_url, job_id, credentials: as above.

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
        if launcher is not None:
            check_launcher(launcher)
        self.registry_url = registry_url
        self.job_id = job_id
        self.credentials = credentials
        self._guard = ForkGuard()  # asked before the lock, which the parent may have held at the fork
        self._lock = threading.Lock()  # guards what follows
        self._launcher = launcher
        self._owns_launcher = launcher is None
        self._resolver: Resolver | None = None
        self._closed = False

    @property
    def namespace(self) -> str:
        """The namespace of actors that are started here: the first segment of the job id."""
        return self.job_id.root

    @property
    def launcher(self) -> Launcher:
        """What starts processes.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
            RuntimeError: the site is closed.
        """
        self._guard.check()
        with self._lock:
            self._check_open()
            if self._launcher is None:
                from iris_actor.work.launch.local.local_launcher import LocalLauncher

                self._launcher = LocalLauncher()
            return self._launcher

    @property
    def resolver(self) -> Resolver:
        """Finds actors in the namespace.

        Raises:
            ForkedProcessError: in a process forked from the one that made this.
            RuntimeError: the site is closed.
        """
        self._guard.check()
        with self._lock:
            self._check_open()
            if self._resolver is None:
                self._resolver = RegistryResolver(
                    self.registry_url, namespace=self.namespace, credentials=self.credentials
                )
            return self._resolver

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")

    def close(self) -> None:
        """End what was started here: processes, then the resolver. Idempotent.

        A launcher that was passed in is left to who made it. In a forked child it does nothing.
        """
        if self._guard.forked:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            launcher = self._launcher if self._owns_launcher else None
        if launcher is not None:
            launcher.close()
        if self._resolver is not None:
            self._resolver.close()
