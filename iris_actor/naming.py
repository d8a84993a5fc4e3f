"""Names: job ids, namespaces and actor names, and the one rule that their segments obey."""

from __future__ import annotations

import re
from dataclasses import dataclass

from iris_actor.errors import InvalidNameError

DEFAULT_NAMESPACE = "default"
"""Where actors live that are registered or looked up outside a job by a program that names none."""

MAX_SEGMENT = 128
_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*)\Z")
_RULE = (
    "a segment is 1 to 128 ASCII letters, digits, '_', '-' or '.', and begins with a letter, a digit or '_'"
)
_FRAMEWORK_RULE = "segments that begin with '_' are the framework's own"


def _check_segments(name: str, *, framework: bool) -> list[str]:
    segments = name.split("/")
    for segment in segments:
        if len(segment) > MAX_SEGMENT or not _SEGMENT.match(segment):
            raise InvalidNameError(name, segment, _RULE)
        if segment.startswith("_") and not framework:
            raise InvalidNameError(name, segment, _FRAMEWORK_RULE)
    return segments


def check_namespace(namespace: str) -> str:
    """`namespace` itself, when it is one valid segment.

    Raises:
        InvalidNameError: (a ValueError) when it is not.
    """
    if not isinstance(namespace, str):
        raise InvalidNameError(repr(namespace), repr(namespace), "a namespace is a str")
    if "/" in namespace:
        raise InvalidNameError(namespace, namespace, "a namespace is a single segment, without '/'")
    _check_segments(namespace, framework=True)
    return namespace


def qualify(name: str, namespace: str, *, framework: bool = False) -> str:
    """The full name, ``namespace/actor name``, under which an actor is stored.

    Args:
        name: an actor name (``rl/curriculum``), or an absolute one (``/other/calculator``).
        namespace: where a name that is not absolute lives.
        framework: allow segments that begin with ``_``.

    Raises:
        InvalidNameError: (a ValueError) naming the bad segment and the rule.
    """
    if not isinstance(name, str):
        raise InvalidNameError(repr(name), repr(name), "an actor name is a str")
    if name.startswith("/"):
        full = name[1:]
        if "/" not in full:
            raise InvalidNameError(name, full, "an absolute name is /<namespace>/<actor name>")
    else:
        full = f"{namespace}/{name}"
    _check_segments(full, framework=framework)
    return full


@dataclass(frozen=True, slots=True, order=True)
class JobId:
    """Where a program runs in the tree of jobs: segments joined by ``/``, root first.

    >>> JobId("abc123/worker-0").child("sub")
    JobId('abc123/worker-0/sub')

    Raises:
        InvalidNameError: (a ValueError) when a segment breaks the rule.
    """

    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise InvalidNameError(repr(self.path), repr(self.path), "a job id is a str")
        _check_segments(self.path, framework=True)

    @property
    def root(self) -> str:
        """The first segment: the namespace of everything inside the job."""
        return self.path.split("/", 1)[0]

    @property
    def namespace(self) -> str:
        """The same as `root`."""
        return self.root

    @property
    def name(self) -> str:
        """The last segment."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent(self) -> JobId | None:
        """The job id without its last segment; None for a root."""
        head, slash, _ = self.path.rpartition("/")
        return JobId(head) if slash else None

    def child(self, name: str) -> JobId:
        """The job id of a job `name` submitted from this one. `name` is one segment."""
        if "/" in name:
            raise InvalidNameError(name, name, "a child's name is a single segment, without '/'")
        return JobId(f"{self.path}/{name}")

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"JobId({self.path!r})"
