"""Boot: what a worker does before it loads anything."""

from __future__ import annotations

import os

WITNESS = "IRIS_WORKER_WITNESS"
"""Environment variable that is set where the driver cannot look into the worker's flight recorder."""


def boot() -> None:
    """Be a worker, with a witness where the pool asks for one. Does not return before the worker's end."""
    if os.environ.pop(WITNESS, None) is not None:
        from iris_actor.work.process.witness import continue_with_witness

        continue_with_witness()
    from iris_actor.work.worker.worker_main import main

    main()
