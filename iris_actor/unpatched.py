"""unpatched: parts of the standard library as they were before gevent or eventlet put green threads in.

Our threads are real ones. With `threading` itself patched there are none to be had, and everything that waits
for the I/O thread would wait for ever, timeouts included: that is refused (`check_threads`). With the rest
patched (``gevent.monkey.patch_all(thread=False)``) they need what works between real threads.
"""

from __future__ import annotations

import _thread
import asyncio
import importlib.util
import os
import selectors
import socket
import sys
from _queue import SimpleQueue  # gevent patches the name in `queue`
from types import SimpleNamespace
from typing import Any

from iris_actor.errors import PatchedThreadsError

__all__ = [
    "DefaultSelector",
    "Popen",
    "SimpleQueue",
    "Socket",
    "check_threads",
    "close",
    "new_event_loop",
    "select",
]


def _original(module: str, name: str) -> Any:
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original(module, name)
    eventlet = sys.modules.get("eventlet.patcher")
    return getattr(importlib.import_module(module) if eventlet is None else eventlet.original(module), name)


def _original_popen() -> Any:
    gevent = sys.modules.get("gevent.monkey")
    if gevent is None or not gevent.is_module_patched("subprocess"):
        return _original("subprocess", "Popen")
    # The original class lacks what gevent took out of its module: it works in another copy of that.
    spec = importlib.util.find_spec("subprocess")
    assert spec is not None  # noqa: S101 - a module of the standard library
    assert spec.loader is not None  # noqa: S101
    copy: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    copy.os = SimpleNamespace(**vars(os) | {"close": close, "waitpid": _original("os", "waitpid")})
    return copy.Popen


DefaultSelector: type[selectors.BaseSelector] = _original("selectors", "DefaultSelector")
Socket: type[socket.socket] = _original("socket", "socket")
close: Any = _original("os", "close")
select: Any = _original("select", "select")
Popen: Any = _original_popen()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """As `asyncio.new_event_loop`, for a thread of ours."""
    if DefaultSelector is selectors.DefaultSelector:
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(DefaultSelector())


def check_threads() -> None:
    """Raise PatchedThreadsError where new threads are none."""
    maker = (getattr(_thread.start_new_thread, "__module__", None) or "").partition(".")[0]
    if maker in {"gevent", "eventlet"}:
        raise PatchedThreadsError(maker)
