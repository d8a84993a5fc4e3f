"""CallOptions: what the caller says about one call beside its arguments."""

from __future__ import annotations

from dataclasses import dataclass

from iris_actor.actor.context import CallContext
from iris_actor.deadline import Deadline, check_timeout
from iris_actor.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What the caller says about one call.

    Attributes:
        timeout: seconds until the call is given up, on both sides; None for no limit.
        key: what the hash balancer goes by.
        idempotent: the call may safely run twice: try again elsewhere when its server is lost.
    """

    timeout: float | None = None
    key: str | None = None
    idempotent: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout", check_timeout(self.timeout))
        if self.key is not None and not isinstance(self.key, str):
            raise TypeError(f"key must be a str or None, got {self.key!r}")

    def deadline(self, target: str, context: CallContext | None) -> Deadline | None:
        """The call's deadline: its own timeout, or what is left to the call that makes it, if that is less.

        Raises:
            DeadlineExceededError: when nothing is left to that call.
        """
        own = None if self.timeout is None else Deadline.after(self.timeout)
        inherited = None if context is None else context.deadline
        if inherited is None:
            return own
        if inherited.passed:
            message = "the deadline of the call that makes this one has passed"
            raise DeadlineExceededError.of(target, message, may_have_run=False)
        return inherited if own is None else min(own, inherited)


DEFAULT = CallOptions()
