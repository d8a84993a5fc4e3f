"""How the local launcher starts one process."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import NamedTuple

from iris_actor.unpatched import Popen
from iris_actor.work.launch.launch_spec import NUM_TASKS, TASK_INDEX, LaunchSpec
from iris_actor.work.process.flight_recorder import RECORDER_FD, FlightRecorder
from iris_actor.work.process.memory_limit import MEMORY_LIMIT
from iris_actor.work.process.parent_watch import PARENT_PID
from iris_actor.work.process.process_secrets import SECRETS_FD, secrets_file

LAUNCH_IDS = "IRIS_LAUNCH_IDS"
"""Environment variable with the ids of the launchers that a process descends from, joined by ``:``."""

_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Started(NamedTuple):
    """A process that has just been started.

    Attributes:
        process: the process.
        recorder: its flight recorder.
        pipes: descriptors of what it writes to stdout and stderr; the caller's.
    """

    process: subprocess.Popen[bytes]
    recorder: FlightRecorder
    pipes: tuple[int, int]


def start_process(spec: LaunchSpec, index: int, launcher_id: str) -> Started:
    """Start the replica of that index, as the leader of a session of its own.

    Raises:
        OSError: it cannot be started; the text says what is wrong.
    """
    recorder = FlightRecorder()
    secrets = None
    try:
        env = _environment(spec, index, launcher_id)
        env[RECORDER_FD] = str(recorder.fd)
        if spec.secrets:
            secrets = secrets_file(spec.secrets)
            env[SECRETS_FD] = str(secrets)
        process = Popen(
            spec.command,
            env=env,
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=(recorder.fd,) if secrets is None else (recorder.fd, secrets),
        )
    except OSError as error:
        recorder.close()
        raise _explained(error, spec) from error
    finally:
        if secrets is not None:
            with suppress(OSError):
                os.close(secrets)
    assert process.stdout is not None  # noqa: S101 - asked for above
    assert process.stderr is not None  # noqa: S101
    stdout, stderr = (os.dup(stream.fileno()) for stream in (process.stdout, process.stderr))
    process.stdout.close()
    process.stderr.close()
    return Started(process, recorder, (stdout, stderr))


def _environment(spec: LaunchSpec, index: int, launcher_id: str) -> dict[str, str]:
    threads = str(max(1, int(spec.resources.cpu)))
    memory = spec.resources.memory_bytes
    above = os.environ.get(LAUNCH_IDS)
    return {
        **dict.fromkeys(_THREAD_LIMITS, threads),
        **os.environ,
        **spec.env,
        TASK_INDEX: str(index),
        NUM_TASKS: str(spec.replicas),
        PARENT_PID: str(os.getpid()),
        LAUNCH_IDS: f"{above}:{launcher_id}" if above else launcher_id,
        **({} if memory is None else {MEMORY_LIMIT: str(memory)}),
    }


def _explained(error: OSError, spec: LaunchSpec) -> OSError:
    """`error` of a process that could not be started, with what it is about."""
    name, number, text = error.filename, error.errno, error.strerror or str(error)
    if number is None:
        return error
    if spec.cwd is not None and name == spec.cwd:
        return OSError(number, f"the working directory cannot be entered: {text}", name)
    return OSError(number, f"the program cannot be started: {text}", spec.command[0])
