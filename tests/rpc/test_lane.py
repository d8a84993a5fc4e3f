"""Lanes: the Unix sockets that carry sessions between processes of one host."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from iris_actor import Credentials
from iris_actor.rpc.io_thread import io_thread
from iris_actor.rpc.lane import SWITCH, Lane
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.serving import Hosted, hosting, lookup_at
from tests.support.waiting import until

PREFIX = "@iris-actor/"


class Counting(Lab):
    def digest(self, array: np.ndarray) -> tuple[str, np.ndarray]:
        self._counts["digest"] += 1
        return hashlib.sha256(array).hexdigest(), array


def lanes() -> set[str]:
    """Abstract sockets of ours that listen, on this host."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {line.split()[7] for line in lines if PREFIX in line and int(line.split()[3], 16) & 0x10000}


def lanes_of(pid: int) -> set[str]:
    """Those of one process."""
    found = {connection.laddr for connection in psutil.Process(pid).net_connections(kind="unix")}
    return {name.rstrip("\0") for name in found} & lanes()


def over_lane(hosted: Hosted) -> bool:
    """Whether the only session of the server runs over a lane at the moment."""
    sessions = list(hosted.server._rpc._sessions.values())
    return len(sessions) == 1 and sessions[0].lane is not None


def cut(hosted: Hosted) -> None:
    """Cut the lanes of the server, for both sides."""
    for session in list(hosted.server._rpc._sessions.values()):
        lane = session.lane
        if lane is not None:
            try:
                lane._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is being closed at this moment


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    with hosting(Counting(), max_concurrency=8, concurrency_groups={"control": 4}) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        yield hosted


def test_peers_on_one_host_take_the_lane(hosted):
    until(lambda: over_lane(hosted))
    assert hosted.pool.call(timeout=10).echo("over it") == "over it"


@pytest.mark.parametrize("credentials", [None, Credentials(token="secret-token")])
def test_a_session_with_a_token_takes_it_too(credentials):
    with hosting(Lab(), credentials=credentials) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        assert over_lane(hosted)


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv(SWITCH, "off")
    of_others = lanes_of(os.getpid())
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        assert not over_lane(hosted)
        assert lanes_of(os.getpid()) == of_others


def test_a_server_that_stops_leaves_no_socket():
    of_others = lanes_of(os.getpid())
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        names = lanes_of(os.getpid()) - of_others
        assert len(names) == 1
    assert not names & lanes()


def test_a_killed_server_leaves_no_socket():
    with ServerProcess() as server:
        assert lookup_at(server.address).call(timeout=10).echo(1) == 1
        names = lanes_of(server.process.pid)
        assert len(names) == 1
        server.kill()
        until(lambda: not names & lanes())


def test_a_caller_in_another_network_namespace_uses_the_network():
    """The lane cannot be reached from there, as it could not from another host or container."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    name, inside, outside = f"iris{os.getpid()}", f"ia{os.getpid()}", f"ib{os.getpid()}"
    third = os.getpid() % 250
    ours, theirs = f"10.231.{third}.1", f"10.231.{third}.2"
    commands = [
        f"ip netns add {name}",
        f"ip link add {outside} type veth peer name {inside} netns {name}",
        f"ip addr add {ours}/24 dev {outside}",
        f"ip link set {outside} up",
        f"ip -n {name} addr add {theirs}/24 dev {inside}",
        f"ip -n {name} link set {inside} up",
    ]
    from iris_actor import ActorServer

    server = ActorServer(namespace="test", host=ours, insecure=True)
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        server.register("actor", Lab())
        server.serve_background()
        script = (
            "import sys; from tests.support.serving import lookup_at;"
            "print(lookup_at(sys.argv[1]).call(timeout=20).echo('from elsewhere'))"
        )
        done = subprocess.run(
            ["ip", "netns", "exec", name, sys.executable, "-c", script, server.address],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == "from elsewhere\n", done.stderr
        assert [session.lane for session in server._rpc._sessions.values()] in ([None], [])
    finally:
        server.stop()
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


# --- strangers ----------------------------------------------------------------------------------------


def stranger(hosted: Hosted) -> socket.socket:
    """A connection to the server's lane, of somebody who knows its name only."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect("\0" + hosted.server._rpc._lanes.name)
    return sock


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",  # a message of 4 GB
        b"\x00\x10\x10\x00",  # a message of 1 MB before it is known
        b"\x00\x00\x00\x00",  # an empty one
        b"\x08\x00\x00\x00garbage!",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_is_hung_up_on_and_nobody_else_notices(hosted, data):
    with stranger(hosted) as sock:
        sock.sendall(data)
        assert sock.recv(100) == b""
    assert over_lane(hosted)
    assert hosted.pool.call(timeout=10).echo(2) == 2


def test_who_knows_no_session_gets_none(hosted):
    from iris_actor._proto import session_pb2 as pb
    from iris_actor.rpc.protocol.wire import VERSION

    for number in ("", "0" * 32):
        packet = pb.Packet()
        packet.hello.version = VERSION
        packet.hello.session_id = number
        data = packet.SerializeToString()
        with stranger(hosted) as sock:
            sock.sendall(len(data).to_bytes(4, "little") + data)
            assert sock.recv(100) == b""
    assert len(hosted.server._rpc._sessions) == 1
    assert hosted.pool.call(timeout=10).echo(2) == 2


def test_a_message_that_comes_byte_by_byte_is_one_message(hosted):
    from iris_actor._proto import session_pb2 as pb

    data = pb.Packet(hello=pb.Hello(version=99)).SerializeToString()
    with stranger(hosted) as sock:
        for byte in len(data).to_bytes(4, "little") + data:
            sock.sendall(bytes([byte]))
            time.sleep(0.002)
        assert sock.recv(100) == b""
    assert over_lane(hosted)


@pytest.mark.parametrize("seed", range(5))
def test_lanes_that_read_parts_of_messages_in_turns_keep_them_apart(seed):
    io = io_thread()
    dice = random.Random(seed)
    lanes, received, streams = [], [], []
    for _ in range(4):
        ours, theirs = socket.socketpair()
        lane = Lane(io, theirs)
        messages: list[bytes] = []
        lane.on_message = lambda view, messages=messages: messages.append(bytes(view))
        received.append(messages)
        lanes.append(lane)
        sent = [dice.randbytes(int(10 ** dice.uniform(0, 5.5))) for _ in range(60)] + [b""]
        dice.shuffle(sent)
        data = b"".join(len(message).to_bytes(4, "little") + message for message in sent)
        streams.append((ours, sent, data))
        io.call_soon(lane.start)
    rest = [memoryview(data) for _, _, data in streams]
    while any(rest):
        number = dice.choice([number for number, data in enumerate(rest) if data])
        piece = rest[number][: int(10 ** dice.uniform(0, 5.3))]
        rest[number] = rest[number][len(piece) :]
        streams[number][0].sendall(piece)
    for messages, (_, sent, _) in zip(received, streams, strict=True):
        until(lambda messages=messages, sent=sent: len(messages) == len(sent))
        assert messages == sent
    for lane, (ours, _, _) in zip(lanes, streams, strict=True):
        io.call_soon(lane.close)
        ours.close()


# --- faults -------------------------------------------------------------------------------------------


def test_calls_survive_a_lane_that_is_cut_and_run_once(hosted):
    future = hosted.pool.submit().hold("gate")
    until(lambda: hosted.pool.call(timeout=10).counted("gate") == 1)
    for _ in range(3):
        until(lambda: over_lane(hosted))
        cut(hosted)
    until(lambda: over_lane(hosted))
    assert not future.done()
    hosted.pool.call(timeout=20).release("gate")
    assert future.result(15).startswith("gate")
    assert hosted.pool.call(timeout=10).counted("gate") == 1


def test_a_large_argument_and_result_survive_cuts_in_the_middle(hosted):
    array = np.random.default_rng(1).integers(0, 255, 96_000_000, dtype=np.uint8)
    over = threading.Event()
    cuts = 0

    def cut_often() -> None:
        nonlocal cuts
        while not over.wait(random.uniform(0.01, 0.1)) and cuts < 5:
            if over_lane(hosted):
                cut(hosted)
                cuts += 1

    thread = threading.Thread(target=cut_often)
    thread.start()
    digest, back = hosted.pool.call(timeout=60).digest(array)
    over.set()
    thread.join()
    assert cuts
    assert digest == hashlib.sha256(array).hexdigest()
    assert np.array_equal(back, array)
    assert hosted.pool.call(timeout=10).counted("digest") == 1


def test_a_stream_survives_cuts_with_every_item_once_and_in_order(hosted):
    taken = []
    for number in hosted.pool.stream().items(3_000):
        taken.append(number)
        if number % 700 == 300:
            cut(hosted)
    assert taken == list(range(3_000))
    assert hosted.pool.call(timeout=10).counted("items") == 3_000


def test_a_server_that_does_not_read_for_a_while_holds_nobody_up_for_good():
    """Both sides' buffers fill up; what waits goes on where it stopped."""
    array = np.arange(3_000_000)
    with ServerProcess() as server:
        pool = lookup_at(server.address)
        assert pool.call(timeout=20).echo(0) == 0
        os.kill(server.process.pid, signal.SIGSTOP)
        futures = [pool.submit().echo(array + n) for n in range(4)]
        small = [pool.submit().echo(n) for n in range(100)]
        time.sleep(0.3)
        os.kill(server.process.pid, signal.SIGCONT)
        for n, future in enumerate(futures):
            assert np.array_equal(future.result(60), array + n)
        assert [future.result(60) for future in small] == list(range(100))


def test_the_end_of_the_stream_beside_it_ends_the_lane(hosted):
    """That stream is the one that finds out about a peer that is there and does nothing."""
    before = hosted.server._rpc._sessions.copy()
    (session,) = before.values()
    first = session.lane
    hosted.server._rpc._io.run(_abort(session)).result(10)
    until(lambda: over_lane(hosted) and session.lane is not first)
    assert hosted.pool.call(timeout=10).echo(1) == 1
    assert hosted.server._rpc._sessions == before


async def _abort(session) -> None:
    session.abort_stream()


# --- many at once -------------------------------------------------------------------------------------


def test_threads_that_send_by_themselves_and_others_keep_the_order_and_lose_nothing(hosted):
    """Blocking callers write to the socket themselves, at any time, while the I/O thread writes the rest."""
    big = np.arange(400_000)
    over = threading.Event()

    def block(number: int) -> int:
        for n in range(200):
            assert hosted.pool.call(timeout=60).echo((number, n)) == (number, n)
        return number

    def flood(number: int) -> int:
        for _ in range(5):
            futures = [hosted.pool.submit().echo((number, n)) for n in range(200)]
            assert [future.result(60) for future in futures] == [(number, n) for n in range(200)]
        return number

    def bulk(number: int) -> int:
        for n in range(5):
            assert np.array_equal(hosted.pool.call(timeout=60).echo(big + n), big + n)
        return number

    def cutting() -> None:
        while not over.wait(0.15):
            cut(hosted)

    cutter = threading.Thread(target=cutting)
    cutter.start()
    try:
        with ThreadPoolExecutor(10) as threads:
            jobs = [threads.submit(job, n) for n in range(3) for job in (block, flood, bulk)]
            assert [job.result(100) for job in jobs] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    finally:
        over.set()
        cutter.join()
    until(lambda: hosted.server.in_flight == 0)


def test_sessions_that_come_and_go_leave_no_descriptor():
    me = psutil.Process()
    with hosting(Lab()) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        script = (
            "import sys; from tests.support.serving import lookup_at;"
            "assert lookup_at(sys.argv[1]).call(timeout=20).echo(1) == 1"
        )
        before = None
        for _ in range(4):
            subprocess.run([sys.executable, "-c", script, hosted.address], check=True, timeout=60)
            until(lambda: len(hosted.server._rpc._sessions) == 1)
            gc.collect()  # an old gRPC keeps ended streams in circles
            before = before or me.num_fds()
        until(lambda: gc.collect() >= 0 and me.num_fds() <= before)
