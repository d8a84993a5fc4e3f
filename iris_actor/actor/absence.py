"""Absence: why nobody is found under a name.

::

    a call that waits ────── look() ──▶ one thread: resolver.explain ──▶ what there is instead
    a call that gives up ◀── error() ◀─────── whatever is known by then ──┘

What there is instead takes a round trip, so it is asked while calls still wait, once for all calls of a pool.
"""

from __future__ import annotations

import difflib
import logging
import threading
import time
from collections.abc import Iterable

from iris_actor.actor.endpoint_source import EndpointSource
from iris_actor.errors import ActorNotFoundError, RegistryError
from iris_actor.rpc.serial_thread import SerialThread

_log = logging.getLogger(__name__)

FRESH = 10.0
"""Seconds for which nobody looks again after a look."""
AGAIN = 1.0
"""The same after a look that showed nothing."""
STALE = 30.0
"""Seconds after which what was seen is not told any more."""
LOOK_TIMEOUT = 2.0
"""Seconds that a look may take; looks of different names wait for each other."""
MOST_NAMES = 10
"""Names that an explanation lists."""

_thread = SerialThread("iris-absence")


def ask_after(patience: float) -> float:
    """Seconds after which somebody who waits that long for a name has it found out what there is instead.

    In time for the answer, and not at once: servers that are just starting get two seconds before each
    process that waits for them reads all names.
    """
    return min(patience / 4, 2.0)


class Absence:
    """Why nobody is found under one name. Thread-safe; only the look itself blocks, in a thread of its own.

    Args:
        resolver: where the name is looked up.
        name: the absolute name.
    """

    def __init__(self, resolver: EndpointSource, name: str) -> None:
        self._resolver = resolver
        self._name = name
        self._lock = threading.Lock()  # guards what follows
        self._looking = False
        self._look_at = 0.0  # nobody looks before
        self._seen = ""
        self._seen_until = 0.0  # it is told no longer

    def look(self) -> None:
        """Have it found out what there is instead, unless that is known or under way. Returns at once."""
        with self._lock:
            if self._looking or time.monotonic() < self._look_at:
                return
            self._looking = True
        _thread.run(self._look)

    def _look(self) -> None:
        seen = ""
        try:
            if self._resolver.trouble(self._name) is None:
                seen = self._resolver.explain(self._name, timeout=LOOK_TIMEOUT)
        except RegistryError:
            pass  # the resolver's trouble by now
        except Exception:  # of a resolver that somebody else wrote
            _log.debug("cannot find out what there is instead of %s", self._name, exc_info=True)
        finally:
            now = time.monotonic()
            with self._lock:
                self._looking, self._seen = False, seen
                self._look_at = now + (FRESH if seen else AGAIN)
                self._seen_until = now + STALE

    def error(self, target: str, waited: str) -> ActorNotFoundError:
        """The error for a call that found nobody, with all that is known now; the trouble is its cause.

        Args:
            target: actor and method.
            waited: how long the call waited, and why no longer.
        """
        name = self._name[1:]
        trouble: Exception | None
        try:
            trouble = self._resolver.trouble(self._name)
            unknown = self._resolver.known(self._name) is None
        except Exception as error:  # it is closed, or somebody else's
            trouble, unknown = error, True
        if trouble is not None:
            text = (
                f"nobody can tell who serves {name!r}" if unknown else f"no endpoint served {name!r} lately"
            )
            text += f": {trouble}"
        elif unknown:
            text = f"nobody can tell yet who serves {name!r}"
        else:
            with self._lock:
                text = self._seen if time.monotonic() < self._seen_until else ""
            text = text or f"no endpoint serves {name!r}"
        found = ActorNotFoundError.of(target, f"{text}; waited {waited}")
        found.__cause__ = trouble
        return found


def absence_text(name: str, served: Iterable[str]) -> str:
    """What there is instead of the full name `name`, for people.

    Args:
        name: which nobody serves.
        served: the full names that somebody serves, in all namespaces.
    """
    namespace, actor = name.split("/", 1)
    here: list[str] = []
    elsewhere: list[str] = []
    others: set[str] = set()
    for each in served:
        other_namespace, other = each.split("/", 1)
        if each == name:
            return f"there is an entry for {name!r}, but not, or not yet, a readable endpoint"
        if other == actor or (actor and other.startswith(f"{actor}/")):
            elsewhere.append(f"/{each}")
        if any(segment.startswith("_") for segment in other.split("/")):
            continue  # the framework's own
        if other_namespace == namespace:
            here.append(other)
        else:
            others.add(other_namespace)
    text = f"no actor {actor!r} in namespace {namespace!r}, which has {_listed(actor, here)}"
    if elsewhere:
        text += f"; there is {_some(sorted(elsewhere))}"
    elif others and not here:
        text += f"; there are actors in {_some(sorted(others))}"
    return text


def _listed(actor: str, names: list[str]) -> str:
    if not names:
        return "no actors"
    near = difflib.get_close_matches(actor, names, n=3)
    if len(names) <= MOST_NAMES:
        return ", ".join([*near, *sorted(set(names) - set(near))])
    return f"{len(names)} actors" + (f", the nearest: {', '.join(near)}" if near else "")


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
