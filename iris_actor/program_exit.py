"""Which exceptions are the program's own end, even while code of ours runs."""

from __future__ import annotations

import threading


def is_program_exit(error: BaseException) -> bool:
    """Whether `error` may be the end of this program, which nothing of ours may hold up.

    CPython runs the handlers of signals in the main thread, between two instructions: a KeyboardInterrupt or
    a SystemExit there may be Ctrl-C, or what a handler of SIGTERM raised, whichever code it came out of.
    In every other thread it was raised by the code that ran, and is that code's failure like any other.
    """
    return (
        isinstance(error, KeyboardInterrupt | SystemExit)
        and threading.current_thread() is threading.main_thread()
    )
