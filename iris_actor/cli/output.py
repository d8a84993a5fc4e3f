"""Output: results on stdout, for people in a terminal and for programs in a pipe."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from iris_actor import Endpoint


def stdout(width: int | None = None) -> Console:
    """Where results go. Long lines are not broken: a pipe has no width, a terminal breaks them itself.

    Args:
        width: columns to assume; None for those of the terminal.
    """
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False, width=width)


def in_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def print_json(text: str) -> None:
    """Print JSON text: indented and coloured in a terminal, on one line elsewhere."""
    if in_terminal():
        stdout().print_json(text, ensure_ascii=False)
    else:
        print(json.dumps(json.loads(text), ensure_ascii=False), flush=True)


def print_document(value: Any) -> None:
    """Print a value as JSON that people read too: indented everywhere."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if in_terminal():
        stdout().print_json(text, ensure_ascii=False)
    else:
        print(text)


def endpoint_fields(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as a JSON object."""
    return {
        "address": endpoint.address,
        "actor_id": endpoint.actor_id,
        "host": endpoint.host,
        "pid": endpoint.pid,
        "job_id": endpoint.job_id,
        "incarnation": endpoint.incarnation,
        "started_at": endpoint.started_at,
        "metadata": dict(endpoint.metadata),
    }


def age(started_at: float) -> str:
    """How long ago that was, in the largest unit that fits."""
    seconds = max(0, int(time.time() - started_at))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
