"""forked_child: what becomes of a child that user code forked from a process which uses iris_actor.

Such a child has none of our threads, and none of our connections work in it. So it must neither wait for
them nor keep them open: a server whose process was killed is dead, although a data loader that it forked
lives on and would, by the kernel's rules, hold its port and its connections.

A child shares more than numbers with its parent: an inherited socket is the parent's very socket, and
`shutdown`, or a change of the epoll instance that knows it, would reach the parent. The child may only close
its own number. It puts another socket there, one that is connected to nothing: gRPC, event loops and Python's
socket objects still know the number, and may close it when they are collected, which would hit whatever had
got it next.

gRPC does not say which sockets are its own. It sets TCP_USER_TIMEOUT on each of them, listening, accepted or
connected, to the keepalive timeout that it was given. Ours are numbers that nobody else takes: they mark our
sockets.
"""

from __future__ import annotations

import _socket  # what `socket` is made of, which nobody monkey-patches
import os
import select
import sys
import traceback
from contextlib import suppress
from socket import AF_INET, AF_UNIX, IPPROTO_TCP, SOCK_STREAM
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from iris_actor.grpc_settings import MARKS
from iris_actor.threads.after_fork import ForkStage, at_fork

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_own: WeakSet[_socket.socket] = WeakSet()
_loops: WeakSet[AbstractEventLoop] = WeakSet()


def let_go_in_child(sock: _socket.socket) -> None:
    """Have children that are forked from now on let `sock` go. Any thread; it need not be taken back."""
    _own.add(sock)


def isolate_in_child(loop: AbstractEventLoop) -> None:
    """Have children that are forked from now on wait at an epoll instance of their own in `loop`.

    asyncio has them share the parent's: a child that goes on in the loop takes wake-ups from the parent, and
    one that closes the loop takes away what wakes the parent from other threads. For loops of asyncio itself.
    """
    _loops.add(loop)


def _marked() -> list[int]:
    """Numbers of the sockets that gRPC has opened for us."""
    if sys.platform != "linux":
        return []
    from socket import TCP_USER_TIMEOUT

    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names alone are cheaper
        try:
            sock = _socket.socket(AF_INET, SOCK_STREAM, 0, fileno=int(name))
        except OSError:  # no socket, or the one that `listdir` used itself
            continue
        with suppress(OSError):  # not of TCP
            if sock.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT) in MARKS:
                found.append(int(name))
        sock.detach()
    return found


def _let_go() -> None:
    # For want of memory or numbers: then the sockets stay open, and the end of its lease ends a server.
    with suppress(OSError, MemoryError):
        numbers = [sock.fileno() for sock in list(_own)]
        numbers += _marked()
        if numbers:
            unconnected = _socket.socket(AF_UNIX, SOCK_STREAM)
            for number in numbers:
                if number >= 0:
                    os.dup2(unconnected.fileno(), number, inheritable=False)
            unconnected.close()


def _isolate() -> None:
    for loop in list(_loops):
        # asyncio has no public names for these. Another kind of loop lacks them, and stays as it is.
        with suppress(AttributeError, OSError, MemoryError):
            inside: Any = loop
            reader, writer = inside._ssock.fileno(), inside._csock.fileno()  # noqa: SLF001
            epoll = select.epoll()
            for number, end in zip((reader, writer), _socket.socketpair(), strict=True):
                end.setblocking(False)
                os.dup2(end.fileno(), number, inheritable=False)
                end.close()
            epoll.register(reader, select.EPOLLIN)
            os.dup2(epoll.fileno(), inside._selector.fileno(), inheritable=False)  # noqa: SLF001
            epoll.close()


def leave(error: BaseException | None = None) -> NoReturn:
    """End this child, which was forked in a thread of ours, where that thread would go on with its work.

    It ends as a program does: with 0, with the code of a SystemExit, or with a traceback and 1. Handlers of
    `atexit` are the parent's and do not run, as in children of `multiprocessing`.

    Args:
        error: what ended the user's code; None when that returned.
    """
    code = 0
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            code = error.code & 0xFF
        elif error.code is not None:
            _say(f"{error.code}\n")
            code = 1
    elif error is not None:
        _say("".join(traceback.format_exception(error)))
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def _say(text: str) -> None:
    with suppress(Exception):  # there is no stderr, or it is broken
        sys.stderr.write(text)


def _after_fork_in_child() -> None:
    _isolate()
    _let_go()


at_fork(ForkStage.SOCKETS, in_child=_after_fork_in_child)
