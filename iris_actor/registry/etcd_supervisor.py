"""Runs etcd for as long as standard input stays open. Started by `etcd_process`, as a script.

Arguments: the folder to remove at the end (or empty), the log file, and etcd's command line. A line on
standard input takes the folder back from removal.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends a process when its parent dies."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Run etcd until standard input ends or etcd does."""
    folder, log, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(log, "ab") as output:  # noqa: PTH123 - keeps the imports, and with them the start, short
        # This process has one thread, so the parent-death signal means the end of this process.
        etcd = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one thread
        )
    os.write(1, b"%d\n" % etcd.pid)
    while etcd.poll() is None:
        # Looks at etcd from time to time, so that its owner can see this process end with it.
        ready, _, _ = select.select([0], [], [], 0.1)
        if ready:
            data = os.read(0, 4096)
            if not data:
                break
            folder = ""
    if etcd.poll() is None:
        os.kill(etcd.pid, signal.SIGCONT)
        etcd.terminate()
        try:
            etcd.wait(2)
        except subprocess.TimeoutExpired:
            etcd.kill()
            etcd.wait()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
