"""Failures: what a command prints instead of a Python traceback, and the exit code that says why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    RAISED = 1
    """The method raised, or what it returned has no JSON form."""
    USAGE = 2
    """The command line, a name, a URL or a value in it makes no sense."""
    UNAVAILABLE = 3
    """The registry, the actor, its method or its server is not there, or refused the credentials."""
    DEADLINE = 4
    """The timeout passed first."""
    INTERRUPTED = 130
    """Ctrl-C."""


class UsageError(Exception):
    """A value on the command line that makes no sense; the message says which and why."""


def exit_code(error: BaseException) -> ExitCode:
    """The exit code that stands for `error`."""
    from iris_actor import errors

    if isinstance(error.__cause__, errors.RemoteTraceback):  # a method raised it, whatever it is
        return ExitCode.RAISED
    by_kind: list[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode]] = [
        (errors.DeadlineExceededError, ExitCode.DEADLINE),
        (
            (
                UsageError,
                errors.InvalidNameError,
                errors.InvalidURLError,
                errors.InvalidAddressError,
                errors.InsecureServerError,
                errors.OutsideJobError,
            ),
            ExitCode.USAGE,
        ),
        (
            (
                errors.MethodNotFoundError,
                errors.EtcdNotFoundError,
                errors.RegistryError,
                LookupError,
                OSError,
            ),
            ExitCode.UNAVAILABLE,
        ),
    ]
    return next((code for kind, code in by_kind if isinstance(error, kind)), ExitCode.RAISED)


def stderr() -> Console:
    """Where errors and remarks go."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)


def complain(error: BaseException, *, show_traceback: bool = False) -> None:
    """Print `error` in a line or two, with the remote traceback where that is wanted."""
    from rich.text import Text

    from iris_actor.errors import IrisError, RemoteError, RemoteTraceback

    remote = error.traceback if isinstance(error, RemoteError) else ""
    if isinstance(error.__cause__, RemoteTraceback):
        remote = error.__cause__.text
    console = stderr()
    if show_traceback and remote:
        console.print(Text(remote.rstrip(), style="dim"))
    # What a method raised is known by its type; ours have messages that stand alone.
    own = isinstance(error, IrisError | UsageError | OSError) and not remote
    what = str(error) if own or isinstance(error, RemoteError) else f"{type(error).__name__}: {error}"
    console.print(Text.assemble(("error: ", "bold red"), what))
    if remote and not show_traceback:
        console.print(Text("(--traceback shows where the method raised it)", style="dim"))


@contextmanager
def failures(*, show_traceback: bool = False, interrupted: ExitCode = ExitCode.INTERRUPTED) -> Iterator[None]:
    """Turn what goes wrong inside into a message on stderr and an exit code.

    Args:
        show_traceback: print the remote traceback of what a method raised.
        interrupted: the exit code of Ctrl-C; `ExitCode.DONE` where that is the ordinary end.
    """
    from iris_actor.errors import IrisError, RemoteTraceback

    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(interrupted) from None
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        raise typer.Exit(ExitCode.DONE) from None
    except (IrisError, UsageError, OSError) as error:
        complain(error, show_traceback=show_traceback)
        raise typer.Exit(exit_code(error)) from None
    except Exception as error:
        if not isinstance(error.__cause__, RemoteTraceback):
            raise
        complain(error, show_traceback=show_traceback)
        raise typer.Exit(ExitCode.RAISED) from None
