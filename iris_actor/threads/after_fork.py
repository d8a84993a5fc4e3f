"""after_fork: what is done when user code forks, in one defined order.

::

    at_fork(stage, …) ──▶ one list, ordered by stage ──▶ the three hooks that Python calls at a fork

    before the fork   SIGNALS, HELD, CONNECTIONS, SOCKETS    from the outermost to the innermost
    after it          SOCKETS, CONNECTIONS, HELD, SIGNALS    in parent and child, the other way round

Python itself has but the order of registration, which is that of imports: it would change with every import
that is moved. Nothing else in this package registers hooks of its own.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from operator import call
from typing import NamedTuple

from iris_actor.report import report_exception

_log = logging.getLogger(__name__)

Hook = Callable[[], object]


class ForkStage(IntEnum):
    """When a hook runs, from the first to the last in the child."""

    SOCKETS = 1
    """Sockets and event loops of the parent are let go, before anything in the child can touch them."""
    CONNECTIONS = 2
    """The parent's threads, sessions and registries are forgotten, and locks that they held are replaced."""
    HELD = 3
    """What users hold (actors, futures, pools, launchers) learns that it is the parent's."""
    SIGNALS = 4
    """The child answers to signals, now that it is one."""


class _Hooks(NamedTuple):
    before: Hook | None
    in_parent: Hook | None
    in_child: Hook | None


_stages: dict[ForkStage, list[_Hooks]] = {stage: [] for stage in ForkStage}


def at_fork(
    stage: ForkStage,
    *,
    before: Hook | None = None,
    in_parent: Hook | None = None,
    in_child: Hook | None = None,
) -> None:
    """Have hooks called at each fork from now on, for as long as the process lives. Any thread.

    They run in the thread that forks, and must not wait for others. An exception of one is logged, and keeps
    no other from being called.

    Args:
        stage: when. Within a stage they run in order of registration, those before the fork in reverse.
        before: called before the fork.
        in_parent: called after it in the parent.
        in_child: called after it in the child.
    """
    _stages[stage].append(_Hooks(before, in_parent, in_child))


def _ordered() -> list[_Hooks]:
    return [hooks for stage in ForkStage for hooks in _stages[stage]]


def _call(hooks: Iterable[Hook | None]) -> None:
    rest = filter(None, hooks)
    while True:
        try:
            # No loop of ours: whatever a hook raises, a signal's handler in the middle of one included, the
            # rest are called.
            deque(map(call, rest), maxlen=0)
            return  # noqa: TRY300 - an else would lie outside of the try
        except BaseException:
            report_exception(_log, "a hook for forks failed")


def _before() -> None:
    _call([hooks.before for hooks in reversed(_ordered())])


def _in_parent() -> None:
    _call([hooks.in_parent for hooks in _ordered()])


def _in_child() -> None:
    _call([hooks.in_child for hooks in _ordered()])


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
