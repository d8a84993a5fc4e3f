"""LogReceiver: records of a worker's loggers, put together again and handled by this process's loggers."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from iris_actor.work.launch.output.progress_bars import bars_aside, bars_possible
from iris_actor.work.process.log_sender import LAST, MAX_RECORD, PART

_TEXTS = ("exc_text", "stack_info")


@dataclass(frozen=True, slots=True)
class Received:
    """A record of a worker's.

    Attributes:
        record: each line of its texts marked with the worker.
        text: the same as lines for people, without the marks.
    """

    record: logging.LogRecord
    text: str


class LogReceiver:
    """Makes records of what one worker's `log_sender` writes. For one thread.

    Args:
        label: the worker's name, which marks each line of the message and is the record's ``worker``.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._parts: dict[bytes, list[bytes]] = {}
        self._size = 0

    def read(self, line: bytes) -> Received | None:
        """The record that `line` completes, or None when more parts of it follow.

        Args:
            line: without the byte at its beginning.

        Raises:
            ValueError: it is neither a record nor a part of one.
        """
        kind = line[:1]
        if kind not in {PART, LAST}:
            return self._build(line)
        key, space, part = line[1:].partition(b" ")
        if not space:
            raise ValueError("a part without its record's key")
        if kind == PART:
            # Writers that are killed leave parts behind. The oldest go first.
            self._parts.setdefault(key, []).append(part)
            self._size += len(part)
            while self._size > 2 * MAX_RECORD:
                self._pop(next(iter(self._parts)))
            return None
        return self._build(b"".join((*self._pop(key), part)))

    def _pop(self, key: bytes) -> list[bytes]:
        parts = self._parts.pop(key, [])
        self._size -= sum(map(len, parts))
        return parts

    def _build(self, data: bytes) -> Received:
        fields = json.loads(data)
        if not (
            isinstance(fields, dict)
            and isinstance(fields.get("name"), str)
            and isinstance(fields.get("levelno"), int)
            and isinstance(fields.get("message"), str)
        ):
            raise ValueError("no record of a worker's")  # noqa: TRY004 - it is text like any other
        message = fields.pop("message")
        texts = {key: fields[key] for key in _TEXTS if isinstance(fields.get(key), str)}
        record = logging.makeLogRecord(
            {
                **fields.pop("extra", {}),
                **fields,
                **{key: self._marked(text) for key, text in texts.items()},
                "msg": self._marked(message),
                "args": (),
                "worker": self._label,
            }
        )
        head = f"{record.levelname} {record.name}: {message}"
        return Received(record, "\n".join((head, *texts.values())))

    def _marked(self, text: str) -> str:
        mark = f"[{self._label}] "
        return mark + text.replace("\n", f"\n{mark}")


def handle(record: logging.LogRecord) -> None:
    """Hand a record to this process's logger of that name, if it is enabled there.

    Raises:
        Exception: whatever filters and handlers of the user's raise.
    """
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.levelno):
        return
    if not bars_possible():
        logger.handle(record)
    else:
        # From 3.12 on a filter may put another record in its place.
        passed: Any = logger.filter(record)
        if passed:
            _call_handlers(logger, passed if isinstance(passed, logging.LogRecord) else record)


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """As `Logger.callHandlers`, with the bars aside while a handler writes to a terminal."""
    found = False
    above: logging.Logger | None = logger
    while above is not None:
        for handler in above.handlers:
            found = True
            if record.levelno >= handler.level:
                _call(handler, record)
        above = above.parent if above.propagate else None
    last = logging.lastResort
    if not found and last is not None and record.levelno >= last.level:
        _call(last, record)


def _call(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Have a handler handle a record.

    Two locks are needed, the handler's and tqdm's, and no order of them is right: a handler may write by
    ``tqdm.write``, and a bar may be drawn by way of a handler. So the handler's is never waited for while we
    have tqdm's.
    """
    lock = handler.lock
    if isinstance(handler, logging.FileHandler) or not isinstance(handler, logging.StreamHandler) or not lock:
        handler.handle(record)
        return
    while True:
        with bars_aside(handler.stream):
            if lock.acquire(blocking=False):
                try:
                    handler.handle(record)
                finally:
                    lock.release()
                return
        with lock:  # until who has it is done
            pass
