"""The worker process: an `ActorServer` in the background, tasks in the main thread.

It learns everything from its environment and its secrets, so that any launcher can start it::

    IRIS_REGISTRY (a secret)        where to announce itself: a URL, which may hold a password
    IRIS_JOB_ID                     below which job id
    IRIS_TASK_INDEX                 which replica of its launch it is
    IRIS_WORKER_POOL                id of the pool
    IRIS_WORKER_FIRST               index of the launch's first worker in the pool
    IRIS_WORKER_LAUNCH              id of the launch, which the pool finds again in the endpoint's metadata
    IRIS_WORKER_HOST                address to bind
    IRIS_WORKER_TOKEN (a secret)    what the pool shows with each call
    IRIS_WORKER_PATH                the driver's ``sys.path``
    IRIS_WORKER_LOGGING             levels of the driver's loggers
    IRIS_WORKER_WITNESS             set where the driver cannot look into its flight recorder; see `witness`
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from contextlib import suppress

from iris_actor.actor.environment import JOB_ID, REGISTRY, TASK_INDEX
from iris_actor.actor.server import ActorServer
from iris_actor.errors import IrisError
from iris_actor.naming import JobId
from iris_actor.rpc import segment
from iris_actor.rpc.credentials import Credentials
from iris_actor.rpc.limits import Limits
from iris_actor.work.process import log_sender, memory_limit
from iris_actor.work.process.flight_recorder import RecorderPen
from iris_actor.work.process.parent_watch import die_with_parent
from iris_actor.work.process.process_secrets import take_secrets
from iris_actor.work.worker.task_runner import TaskRunner
from iris_actor.work.worker.worker import MAX_CONCURRENCY, Worker
from iris_actor.work.worker.worker_signals import handle_signals

POOL = "IRIS_WORKER_POOL"
FIRST = "IRIS_WORKER_FIRST"
LAUNCH = "IRIS_WORKER_LAUNCH"
HOST = "IRIS_WORKER_HOST"
TOKEN = "IRIS_WORKER_TOKEN"  # noqa: S105 - the name of a variable
PATH = "IRIS_WORKER_PATH"
LOGGING = "IRIS_WORKER_LOGGING"

BETWEEN = "\n"
"""Stands between two entries of the path. One with a colon in it is rare, but works in ``sys.path``."""

BOOT = (
    "import os, sys; "
    f"sys.path[:] = os.environ.pop({PATH!r}, {BETWEEN!r}.join(sys.path)).split({BETWEEN!r}); "
    "from iris_actor.work.worker.boot import boot; boot()"
)
"""What the interpreter is told to run: the driver's ``sys.path`` first, for it may be the way to us."""


def actor_name(pool: str, worker: str) -> str:
    """Name under which a worker of a pool is registered."""
    return f"_workerpool/{pool}/{worker}"


def driver_path() -> str:
    """This process's ``sys.path`` in the form that `BOOT` takes."""
    # The import system passes over what is no str, such as a Path.
    entries = [entry for entry in sys.path if isinstance(entry, str) and not {BETWEEN, "\0"} & set(entry)]
    # The empty entry means the current directory, which a task may change.
    if "" in entries:
        try:
            cwd = os.getcwd()  # noqa: PTH109 - no Path needed
        except OSError:  # deleted: nothing can be imported from there
            entries = [entry for entry in entries if entry]
        else:
            entries = [entry or cwd for entry in entries]
    return BETWEEN.join(entries)


def main() -> None:
    """Serve tasks until SIGTERM."""
    faulthandler.enable()
    environment = os.environ
    levels = environment.pop(LOGGING, None)
    if levels is not None:
        log_sender.install(levels)
    die_with_parent()
    secrets = take_secrets()
    if not {REGISTRY, TOKEN} <= secrets.keys():
        sys.exit("iris_actor: the worker cannot start: its launcher has handed over no secrets")
    # Children of this process are in the job, too, and find it.
    environment[REGISTRY] = secrets[REGISTRY]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    runner = TaskRunner(RecorderPen.from_environment())
    handle_signals(runner)
    limit = memory_limit.take_limit()
    if limit is not None:
        segment.switch_off()  # shared memory is outside of the limit
    try:
        with suppress(SystemExit):
            _work(runner, limit, Credentials(token=secrets[TOKEN]))
    except IrisError as error:  # the registry cannot be reached, say: the text tells all
        sys.exit(f"iris_actor: the worker cannot start: {error}")


def _work(runner: TaskRunner, limit: int | None, credentials: Credentials) -> None:
    environment = os.environ
    name = f"worker-{int(environment.pop(FIRST)) + int(environment.get(TASK_INDEX, '0'))}"
    pool, launch = environment.pop(POOL), environment.pop(LAUNCH)
    runner.actor_name = actor_name(pool, name)
    environment[JOB_ID] = str(JobId(environment[JOB_ID]).child(name))
    with ActorServer(
        environment[REGISTRY],
        host=environment.pop(HOST, "127.0.0.1"),
        credentials=credentials,
        drain_timeout=0,
        limits=None if limit is None else Limits(max_payload=memory_limit.room(limit)),
    ) as server:
        server.register(
            runner.actor_name,
            Worker(runner),
            max_concurrency=MAX_CONCURRENCY,
            metadata={"launch": launch},
            _framework=True,
        )
        server.serve_background()
        if limit is not None:
            memory_limit.impose(limit)
        runner.run()
