"""A small process between an EtcdProcess and its etcd, which ends etcd when the program is gone.

::

    program ──(stdin: "signal 19\\n" …)──▶ supervisor ──(fork, exec; signals)──▶ etcd
       ▲                                     │  │ EOF, or the program is gone: SIGKILL, folder removed
       └──(stdout: "started <pid>\\n", ◀─────┘
           "ended <wait status>\\n")

A pipe tells of the program's end however it ends, SIGKILL included. A process that the program forked may
hold the pipe open, hence the program itself is watched too. Should the supervisor be killed, the kernel ends
etcd: PR_SET_PDEATHSIG is about the thread that forked, which is the only one here.

Only the supervisor signals etcd, and it has not reaped it then: no other process can have got its id.

This file is run as a script by an isolated interpreter (``-I -S``) and must import nothing but cheap parts of
the standard library. Arguments: the program's pid, the log file, the folder to remove or "", then etcd's own.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
POLL = 0.25
"""Seconds between looks, where the system has no file descriptors for processes."""


def _raise_limits() -> None:
    """Have as many files, as large ones, and as much memory as may be had; a shell's limits may be lower."""
    with contextlib.suppress(Exception):  # another system than Linux
        import resource

        for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
            most = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (most, most))


def _exec_etcd(log: str, command: list[str]) -> None:
    _raise_limits()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    with contextlib.suppress(Exception):  # another system than Linux: the pipe alone does it
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # the program is gone
        os.write(1, f"{text}\n".encode())


def _reap(pid: int, options: int) -> bool:
    reaped, status = os.waitpid(pid, options)
    if reaped:
        _tell(f"ended {status}")
    return bool(reaped)


def _serve(program: int, etcd: int) -> bool:
    """Pass signals on until etcd has ended (True) or the program is gone (False)."""
    watched = [fd for fd in (_pidfd(program), _pidfd(etcd)) if fd is not None]
    timeout = None if len(watched) == 2 else POLL
    rest = b""
    while os.getppid() == program:
        ready, _, _ = select.select([0, *watched], [], [], timeout)
        if _reap(etcd, os.WNOHANG):
            return True
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                return False
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                os.kill(etcd, int(line.split()[1]))
    return False


def main() -> None:
    """Run etcd until it, or the program, ends."""
    # Where the program ignores it, so do its children, and the kernel keeps no end of theirs to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program, log, folder, *command = sys.argv[1:]
    etcd = os.fork()
    if etcd == 0:
        try:
            _exec_etcd(log, command)
        finally:
            os._exit(127)
    _tell(f"started {etcd}")
    if not _serve(int(program), etcd):
        os.kill(etcd, signal.SIGKILL)
        _reap(etcd, 0)
        if folder:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
