"""What the log says about leased keys."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from iris_actor.etcd.leased.actions import Event, News
from iris_actor.etcd.leased.key import LeasedKey
from iris_actor.etcd.url import EtcdURL

_log = logging.getLogger(__name__)

MOST_NAMES = 5
"""Names that one line lists."""

_LINES = {
    Event.LEASE_GONE: (logging.INFO, "registry {url}: the lease was lost: {error}"),
    Event.LOST: (logging.WARNING, "registry {url} has lost {names}; putting it back"),
    Event.BACK: (logging.INFO, "registry {url} has {names} again"),
    Event.DOUBTFUL: (
        logging.WARNING,
        "registry {url} may have lost what is registered here: it was silent for longer than the lease",
    ),
    Event.KEPT: (logging.INFO, "registry {url} still has what is registered here"),
    Event.NOT_PUT_BACK: (logging.WARNING, "cannot put {names} back, and go on trying: {error}"),
    Event.NOT_DELETED: (logging.WARNING, "cannot withdraw {names}, its lease will end it: {error}"),
    Event.REFUSED: (logging.WARNING, "registry {url} refuses, and is asked again and again: {error}"),
}


def tell(url: EtcdURL, news: Iterable[News]) -> None:
    """Log `news`. That etcd does not answer is for `Reachability` to tell."""
    for each in news:
        level, line = _LINES[each.event]
        if _log.isEnabledFor(level):
            _log.log(level, "%s", line.format(url=url, names=_named(each.keys), error=each.error))


def _named(keys: tuple[LeasedKey, ...]) -> str:
    """What the keys are called, for a person to read."""
    names = sorted({leased.name for leased in keys})
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
