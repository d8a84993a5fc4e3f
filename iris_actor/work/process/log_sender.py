"""Log sender: records of `logging` travel from a process that we started to the driver's own loggers.

::

    process: logger.info() ─▶ root logger ─▶ DriverHandler ── lines on stderr's pipe ──▶ OutputPump
    driver:  logging.getLogger(same name).handle(record) ◀── LogReceiver ◀────────────────────┘

Each line begins with a byte that text does not use, and is written by one ``write`` of at most ``PIPE_BUF``
bytes, which the system does not tear, whoever else writes to the pipe: threads, forked children, programs
that a task runs. A longer record travels as several such lines::

    \\x1e{"name": …}            a whole record
    \\x1e+<key> <part of it>    a part, more follow
    \\x1e.<key> <part of it>    the last part
    \\x1e!<text>                no record: what a witness leaves for the driver

A worker's own configuration wins. A record that a handler of the worker's own takes (other than a
`logging.NullHandler`) stays there, and ``basicConfig`` and ``dictConfig`` find a `logging` that nobody has
configured: the handler and the levels of ours go first.
"""

from __future__ import annotations

import fcntl
import functools
import itertools
import json
import logging
import os
import select
import stat
from contextlib import suppress
from typing import Any

START = b"\x1e"
"""The byte with which a line begins that is no text."""
PART = b"+"
LAST = b"."
NOTE = b"!"
"""Begins a line that is kept among the last lines, and not shown; see `witness`."""

MAX_TEXT = 256 * 1024
"""Characters of a message or a traceback that travel."""
MAX_RECORD = 1024 * 1024
"""Bytes of a record. One that is longer leaves behind what the user attached to it by ``extra=``."""

LINE = select.PIPE_BUF
"""Bytes of the longest line, its newline included."""
_MAX_LEVELS = 100_000
"""Bytes of the levels; the system takes no environment variable over 128 KiB."""
_OWN = frozenset(vars(logging.makeLogRecord({})))
_SENT = frozenset(
    {
        "created", "filename", "funcName", "levelname", "levelno", "lineno", "module", "msecs", "name",
        "pathname", "process", "processName", "taskName", "thread", "threadName",
    }
)  # fmt: skip
"""What is handed over of a record as it is. Messages and tracebacks are formatted first."""


def driver_levels() -> str:
    """The levels of this process's loggers, as `install` takes them."""
    root = logging.getLogger()
    least = root.manager.disable + 1
    levels = {"": root.level}
    for handler in root.handlers:
        if isinstance(handler, DriverHandler):  # this process is a worker itself
            levels |= handler.levels.waiting
    for name, logger in root.manager.loggerDict.copy().items():
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET:
            levels[name] = logger.level
    text = json.dumps({name: max(level, least) for name, level in levels.items()})
    return text if len(text) <= _MAX_LEVELS else json.dumps({"": max(root.level, least)})


def install(levels: str) -> None:
    """Have records of this process travel to the driver; for the worker, before any code of the user's.

    Does nothing where something has configured `logging` already, or where stderr is no pipe: what reads it
    then is not the driver.

    Args:
        levels: what `driver_levels` returned in the driver. Records below them are not even made.
    """
    if logging.getLogger().handlers or not _is_pipe(2):
        return
    handler = DriverHandler(_Levels(json.loads(levels)))
    logging.getLogger().addHandler(handler)
    original = logging.basicConfig

    @functools.wraps(original)
    def basic_config(**kwargs: Any) -> None:
        # With a handler that is there, it would do nothing and not say so.
        if logging.getLogger().handlers == [handler]:
            handler.close()
        original(**kwargs)

    logging.basicConfig = basic_config


def update(levels: str) -> None:
    """Have other levels of the driver's hold in this process, unless it has a configuration of its own.

    Args:
        levels: as `install` takes them.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, DriverHandler):
            handler.levels.update(json.loads(levels))


class _Levels:
    """The driver's levels, on this process's loggers.

    A logger gets its level when somebody asks for it or for one below it. One that was made here beforehand
    would have the wrong class when the user sets another, and ``dictConfig`` would disable it.

    Attributes:
        waiting: levels of loggers that nobody has asked for.
    """

    def __init__(self, levels: dict[str, int]) -> None:
        root = logging.getLogger()
        self._root_before = self._root_now = root.level
        self.waiting: dict[str, int] = {}
        self._given: dict[str, int] = {}
        self._original = root.manager.getLogger
        root.manager.getLogger = self._get_logger  # type: ignore[method-assign]
        self.update(levels)

    def update(self, levels: dict[str, int]) -> None:
        """Other levels from now on; not for a logger whose level was set here meanwhile."""
        root = logging.getLogger()
        level = levels.pop("")
        if root.level == self._root_now and level != self._root_now:
            self._root_now = level
            root.setLevel(level)
        for name, given in list(self._given.items()):
            if levels.get(name) != given:
                del self._given[name]
                logger = self._original(name)
                if logger.level == given:
                    logger.setLevel(logging.NOTSET)
        self.waiting = {name: level for name, level in levels.items() if name not in self._given}
        if self.waiting:
            for name in list(root.manager.loggerDict):
                self._apply(name)

    def _get_logger(self, name: str) -> logging.Logger:
        logger = self._original(name)
        if self.waiting:
            self._apply(name)
        return logger

    def _apply(self, name: str) -> None:
        for above in itertools.accumulate(name.split("."), "{}.{}".format):
            level = self.waiting.pop(above, None)
            if level is not None:
                logger = self._original(above)
                if logger.level == logging.NOTSET:
                    self._given[above] = level
                    logger.setLevel(level)

    def take_back(self) -> None:
        """Undo what nobody has changed since."""
        self.waiting.clear()
        for name, level in self._given.items():
            logger = self._original(name)
            if logger.level == level:
                logger.setLevel(logging.NOTSET)
        self._given.clear()
        root = logging.getLogger()
        if root.level == self._root_now:
            root.setLevel(self._root_before)


class DriverHandler(logging.Handler):
    """Writes records to the pipe that stderr was when it was made. Thread-safe, also in forked children.

    What fails here is reported as `logging` reports it, on stderr, and never raised.

    Args:
        levels: what it takes back when it steps aside.
    """

    def __init__(self, levels: _Levels) -> None:
        super().__init__()
        self.levels = levels
        self._numbers = itertools.count()
        # Of its own: a task may point stderr's descriptor elsewhere for a while.
        self._fd = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
        self._pipe = _identity(self._fd)

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record; without the handler's lock, which nothing here needs."""
        with suppress(Exception):
            # From 3.12 on a filter may put another record in its place.
            passed: Any = self.filter(record)
            if passed and not _has_other_handler(record.name, self):
                self.emit(passed if isinstance(passed, logging.LogRecord) else record)
                return True
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            data = _encode(record)
            if not self._write(data) and logging.lastResort is not None:
                logging.lastResort.handle(record)
        except Exception:
            self.handleError(record)

    def _write(self, data: bytes) -> bool:
        # A program that closes all descriptors, to become a daemon say, may have another file there now.
        fd = next((fd for fd in (self._fd, 2) if _identity(fd) == self._pipe), None)
        if fd is None:
            return False
        if len(data) + 2 <= LINE:
            _write(fd, START + data + b"\n")
            return True
        key = b"%x.%x " % (os.getpid(), next(self._numbers))
        room = LINE - len(START + PART + key + b"\n")
        for at in range(0, len(data), room):
            kind = PART if at + room < len(data) else LAST
            _write(fd, START + kind + key + data[at : at + room] + b"\n")
        return True

    def close(self) -> None:
        """Step aside. `logging.config` does this to all handlers before it configures anything."""
        logging.getLogger().removeHandler(self)
        self.levels.take_back()
        super().close()


def _has_other_handler(name: str, ours: logging.Handler) -> bool:
    """Whether records of that logger reach a handler of the worker's own."""
    # Not by getLogger: its lock may be held by a thread that waits for a handler.
    root = logging.root
    logger: Any = root if name == root.name else root.manager.loggerDict.get(name)
    while isinstance(logger, logging.Logger):
        if any(each is not ours and not isinstance(each, logging.NullHandler) for each in logger.handlers):
            return True
        logger = logger.parent
    return False


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write(fd: int, line: bytes) -> None:
    while True:
        try:
            os.write(fd, line)
        except BlockingIOError:  # some program that shares the pipe has made it non-blocking
            select.select([], [fd], [])
        else:
            return


def _encode(record: logging.LogRecord) -> bytes:
    values = vars(record)
    fields = {key: value for key, value in values.items() if key in _SENT}
    fields["message"] = _shorten(record.getMessage())
    if record.exc_info:
        fields["exc_text"] = _shorten(logging.Formatter().formatException(record.exc_info))
    elif record.exc_text:
        fields["exc_text"] = _shorten(record.exc_text)
    if record.stack_info:
        fields["stack_info"] = _shorten(record.stack_info)
    extra = {key: value for key, value in values.items() if key not in _OWN and key not in fields}
    if extra:
        with suppress(Exception):  # what refers to itself, or cannot even be shown
            data = json.dumps({**fields, "extra": extra}, default=repr).encode()
            if len(data) <= MAX_RECORD:
                return data
    return json.dumps(fields, default=repr).encode()


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT} more characters)"
