"""Shared memory between processes of one host: large bodies cross it, and nothing else changes."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import math
import os
import random
import socket
import subprocess
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from iris_actor import Limits
from iris_actor.errors import DeadlineExceededError, ProtocolError
from iris_actor.rpc import arena as arena_module
from iris_actor.rpc import shared_memory as shared_memory_module
from iris_actor.rpc.arena import Arena, OwnSegment, budget
from iris_actor.rpc.carrier import Carrier
from iris_actor.rpc.limits import KIB, MIB
from iris_actor.rpc.loans import Loans
from iris_actor.rpc.segment import SWITCH, Segment, layout
from iris_actor.rpc.sessions import sessions
from iris_actor.rpc.shared_memory import SharedMemory
from tests.rpc.test_lane import cut, over_lane, stranger
from tests.support.lab import Lab
from tests.support.processes import ServerProcess, run_script
from tests.support.serving import Hosted, hosting, lookup_at
from tests.support.waiting import until

SIZE = 2 * MIB


class Keeper(Lab):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[np.ndarray] = []

    def keep(self, data: np.ndarray) -> str:
        self._counts["keep"] += 1
        self.kept.append(data)
        return hashlib.sha256(data).hexdigest()

    def give(self, seed: int, size: int = SIZE) -> np.ndarray:
        return noise(seed, size)

    def stream(self, count: int) -> Iterator[np.ndarray]:
        for seed in range(count):
            yield noise(seed)


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)


def links(hosted: Hosted) -> tuple[Carrier, Carrier]:
    """Those of the only session: of the caller, and of the server."""
    client = sessions.get(hosted.address, None)._carrier
    (session,) = hosted.server._rpc._sessions.values()
    return client, session.carrier


def states(link: Carrier) -> list[str]:
    return sorted(own.state.value for own in link.memory.arena._segments.values())


def shared_memory_of(pid: int) -> int:
    """Segments that a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count("memfd:iris-actor")


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    with hosting(Keeper(), max_concurrency=8, concurrency_groups={"control": 4}) as hosted:
        assert hosted.pool.call(timeout=10).echo(1) == 1
        until(lambda: over_lane(hosted))
        yield hosted


@pytest.fixture
def warm(hosted: Hosted) -> Hosted:
    """Both directions have a segment for `SIZE` bytes."""
    warm_up(hosted)
    return hosted


def warm_up(hosted: Hosted) -> None:
    data = noise(0)

    def shared() -> bool:
        assert np.array_equal(hosted.pool.call(timeout=20).echo(data), data)
        return all(link.memory.arena.lent for link in links(hosted))

    until(shared)


def all_home(hosted: Hosted) -> bool:
    gc.collect()
    return all(set(states(link)) <= {"IDLE"} for link in links(hosted))


# --- what travels this way ----------------------------------------------------------------------------


def test_arrays_cross_in_both_directions_and_may_be_written_to(warm):
    client, server = links(warm)
    before = client.memory.loans.taken, server.memory.loans.taken
    for seed in range(20):
        data = noise(seed)
        back = warm.pool.call(timeout=20).echo(data)
        assert back.flags.writeable
        assert np.array_equal(back, data)
        back += 1
        assert not np.array_equal(back, data)
        del back
    assert client.memory.loans.taken - before[0] > 10
    assert server.memory.loans.taken - before[1] > 10
    until(lambda: all_home(warm))
    assert len(client.memory.arena._segments) <= 3
    assert len(server.memory.arena._segments) <= 3


def test_a_body_of_many_parts_of_odd_sizes_arrives_whole(warm):
    parts = {n: noise(n, 70_001 + 977 * n) for n in range(12)}
    parts[99] = noise(99, 0)
    taken = links(warm)[1].memory.loans.taken
    for _ in range(10):
        back = warm.pool.call(timeout=20).echo((parts, "text" * 50_000, b"bytes" * 50_000))
        assert all(np.array_equal(back[0][n], part) for n, part in parts.items())
        assert back[1:] == ("text" * 50_000, b"bytes" * 50_000)
        del back
    assert links(warm)[1].memory.loans.taken > taken


@pytest.mark.parametrize("size", [1, 64 * KIB, 256 * KIB - 1, 256 * KIB, MIB + 1, 5 * MIB, 20 * MIB])
def test_every_size_arrives_as_array_and_as_bytes(hosted, size):
    data = noise(size, size)
    for _ in range(3):
        assert np.array_equal(hosted.pool.call(timeout=60).echo(data), data)
        assert hosted.pool.call(timeout=60).echo(data.tobytes()) == data.tobytes()


def test_what_is_too_large_for_a_segment_travels_in_chunks(hosted, monkeypatch):
    monkeypatch.setattr(arena_module, "MOST", 3 * MIB)
    for size in (3 * MIB, 4 * MIB):
        data = noise(size, size)  # and the pickle stream beside it
        for _ in range(4):
            assert np.array_equal(hosted.pool.call(timeout=60).echo(data), data)
    assert [link.memory.loans.taken for link in links(hosted)] == [0, 0]


def test_what_is_kept_stays_as_it_was_however_much_comes_after_it(warm):
    """On both sides, with the sender changing its array at once, and with more than segments can hold."""
    data = noise(0)
    kept = []
    for seed in range(40):
        data[:] = noise(seed)
        digest = warm.pool.call(timeout=20).keep(data)
        assert digest == hashlib.sha256(data).hexdigest()
        kept.append(warm.pool.call(timeout=20).give(seed))
    data[:] = 0
    wanted = [hashlib.sha256(noise(seed)).hexdigest() for seed in range(40)]
    assert [hashlib.sha256(each).hexdigest() for each in kept] == wanted
    for array_ in kept:
        array_[:] = 0
    again = warm.pool.call(timeout=20).run(_digests_of_kept)
    assert again == wanted


def _digests_of_kept() -> list[str]:
    (keeper,) = [each for each in gc.get_objects() if type(each) is Keeper and each.kept]
    return [hashlib.sha256(each).hexdigest() for each in keeper.kept]


def test_futures_may_be_changed_as_soon_as_they_are_submitted(warm):
    data = noise(0)
    futures = []
    for seed in range(30):
        data[:] = noise(seed)
        futures.append(warm.pool.submit().echo(data))
    data[:] = 0
    for seed, future in enumerate(futures):
        assert np.array_equal(future.result(30), noise(seed))


def test_streams_of_large_items_keep_their_order(warm):
    before = links(warm)[0].memory.loans.taken
    for seed, item in enumerate(warm.pool.stream().stream(40)):
        assert np.array_equal(item, noise(seed))
        assert item.flags.writeable
    assert links(warm)[0].memory.loans.taken > before


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv(SWITCH, "off")
    with hosting(Keeper()) as hosted:
        for seed in range(5):
            assert np.array_equal(hosted.pool.call(timeout=20).echo(noise(seed)), noise(seed))
        assert [link.memory.loans.taken for link in links(hosted)] == [0, 0]


def test_one_side_may_not_want_it(monkeypatch):
    with hosting(Keeper()) as hosted:
        monkeypatch.setenv(SWITCH, "off")
        assert hosted.pool.call(timeout=20).echo(1) == 1  # its session begins, on both sides, without
        monkeypatch.delenv(SWITCH)
        client, server = links(hosted)
        client.memory.arena._closed = False  # the caller would, the server would not
        for seed in range(6):
            assert np.array_equal(hosted.pool.call(timeout=20).echo(noise(seed)), noise(seed))
        until(lambda: states(client) == ["OFFERED"])
        assert server.memory.loans.taken == client.memory.loans.taken == 0


def test_without_a_lane_there_is_none(without_lane):
    with hosting(Keeper()) as hosted:
        for seed in range(5):
            assert np.array_equal(hosted.pool.call(timeout=20).echo(noise(seed)), noise(seed))
        assert [link.memory.loans.taken for link in links(hosted)] == [0, 0]


# --- memory comes back --------------------------------------------------------------------------------


def test_what_rests_is_dropped_and_what_is_kept_is_given_away(monkeypatch):
    monkeypatch.setattr(arena_module, "REST", 0.4)
    monkeypatch.setattr(arena_module, "KEEP", 0.4)
    monkeypatch.setattr(shared_memory_module, "KEEP", 0.4)
    used = budget.used
    with hosting(Keeper()) as hosted:
        warm_up(hosted)
        kept = hosted.pool.call(timeout=20).give(7)
        assert budget.used > used
        until(lambda: [states(link) for link in links(hosted)] == [[], []])
        assert budget.used == used
        assert np.array_equal(kept, noise(7))
        until(lambda: gc.collect() >= 0 and shared_memory_of(os.getpid()) <= 1)
        kept += 1
        del kept
        until(lambda: gc.collect() >= 0 and shared_memory_of(os.getpid()) == 0)
        warm_up(hosted)  # and it begins again
        assert np.array_equal(hosted.pool.call(timeout=20).give(8), noise(8))


def test_what_rests_stays_for_longer_than_what_is_kept(monkeypatch):
    monkeypatch.setattr(arena_module, "KEEP", 0.2)
    monkeypatch.setattr(shared_memory_module, "KEEP", 0.2)
    with hosting(Keeper()) as hosted:
        warm_up(hosted)
        kept = hosted.pool.call(timeout=20).give(7)
        until(lambda: "LENT" not in states(links(hosted)[1]))
        mine = states(links(hosted)[0])
        time.sleep(1)
        assert set(mine) == {"IDLE"}
        assert states(links(hosted)[0]) == mine
        assert np.array_equal(kept, noise(7))


def test_the_end_of_a_session_gives_all_back(warm):
    kept = warm.pool.call(timeout=20).give(7)
    warm.server.stop()
    until(lambda: budget.used == 0 and gc.collect() >= 0 and shared_memory_of(os.getpid()) <= 1)
    assert np.array_equal(kept, noise(7))
    del kept
    until(lambda: shared_memory_of(os.getpid()) == 0)


def test_what_an_actor_keeps_does_not_keep_its_server():
    keeper = Keeper()
    gone = weakref.ref(keeper)
    with hosting(keeper) as hosted:
        warm_up(hosted)
        taken = links(hosted)[1].memory.loans.taken
        hosted.pool.call(timeout=20).keep(noise(1))
        assert links(hosted)[1].memory.loans.taken > taken
    del keeper, hosted
    until(lambda: gc.collect() >= 0 and gone() is None and shared_memory_of(os.getpid()) == 0)


def test_calls_that_are_cancelled_return_their_memory(warm):
    for seed in range(40):
        data = noise(seed)
        futures = [warm.pool.submit().echo(data) for _ in range(8)]
        for future in futures:
            if random.random() < 0.5:
                time.sleep(random.uniform(0, 0.003))
                future.cancel()
        for future in futures:
            if not future.cancelled():
                assert np.array_equal(future.result(20), data)
        del futures, future
    until(lambda: all_home(warm))
    assert np.array_equal(warm.pool.call(timeout=20).echo(noise(1)), noise(1))


def test_calls_that_are_refused_return_their_memory():
    with hosting(Keeper(), limits=Limits(max_in_flight=1), max_concurrency=4) as hosted:
        warm_up(hosted)
        held = hosted.pool.submit().hold("gate")
        until(lambda: hosted.server.in_flight == 1)
        for seed in range(5):
            with pytest.raises(DeadlineExceededError, match="in flight on the server"):
                hosted.pool.call(timeout=0.3).echo(noise(seed))
        until(lambda: all_home(hosted))
        held.cancel()


def test_a_process_and_a_session_have_only_so_much(monkeypatch, hosted):
    monkeypatch.setattr(arena_module, "MOST_OF_PROCESS", budget.used + 5 * MIB)
    kept = []
    for seed in range(20):
        kept.append(hosted.pool.call(timeout=20).give(seed))
    assert budget.used <= arena_module.MOST_OF_PROCESS
    monkeypatch.setattr(arena_module, "MOST_OF_PROCESS", 1 << 30)
    monkeypatch.setattr(arena_module, "MOST_OF_LINK", 8 * MIB)
    arena = links(hosted)[1].memory.arena
    arena._not_before = 0.0
    for seed in range(20, 40):
        kept.append(hosted.pool.call(timeout=20).give(seed))
    until(lambda: not arena._growing)
    assert sum(own.size for own in arena._segments.values()) <= 8 * MIB
    assert all(np.array_equal(each, noise(seed)) for seed, each in enumerate(kept))


def test_other_sizes_take_the_place_of_what_is_idle(monkeypatch, hosted):
    monkeypatch.setattr(arena_module, "MOST_OF_LINK", 9 * MIB)
    arena = links(hosted)[1].memory.arena
    for size in (MIB, 2 * MIB, 3 * MIB, 4 * MIB, 5 * MIB, MIB):

        def shared(size: int = size) -> bool:
            before = arena.lent
            assert np.array_equal(hosted.pool.call(timeout=20).give(size, size), noise(size, size))
            return arena.lent > before

        until(shared)
        assert sum(own.size for own in arena._segments.values()) <= 9 * MIB


def test_a_segment_is_not_much_larger_than_what_it_is_lent_with(warm):
    """Else a small array that is kept would keep all of it."""
    arena = links(warm)[1].memory.arena
    arena._not_before = math.inf  # they get none of their own
    before = arena.lent
    for _ in range(2):
        warm.pool.call(timeout=20).give(1, 300 * KIB)
    assert arena.lent == before


# --- faults -------------------------------------------------------------------------------------------


def test_a_killed_server_leaves_what_it_lent_and_nothing_else():
    with ServerProcess() as server:
        pool = lookup_at(server.address)
        data = noise(3)

        def shared() -> bool:
            """In both directions; asked again, since it takes calls to get there."""
            assert np.array_equal(pool.call(timeout=20).echo(data), data)
            taken = sessions.get(server.address, None)._carrier.memory.loans.taken
            return taken > 0 and shared_memory_of(server.pid) >= 2

        until(shared)
        kept = pool.call(timeout=20).echo(data)
        server.kill()
        until(lambda: gc.collect() >= 0 and shared_memory_of(os.getpid()) <= 1)
        assert np.array_equal(kept, data)
        kept += 1
        del kept
        until(lambda: gc.collect() >= 0 and shared_memory_of(os.getpid()) == 0)
        assert budget.used == 0


_CALLER = """
import sys, time
import numpy as np
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
data = np.arange(400_000)
for _ in range(30):
    assert (pool.call(timeout=20).echo(data) == data).all()
    time.sleep(0.02)
print("warm", flush=True)
while True:
    pool.call(timeout=20).echo(data)
"""


def test_a_killed_caller_leaves_nothing(monkeypatch):
    limits = Limits(resume_window=0.5)
    with hosting(Keeper(), limits=limits) as hosted:
        script = subprocess.Popen(
            [sys.executable, "-c", _CALLER, hosted.address], stdout=subprocess.PIPE, text=True
        )
        assert script.stdout is not None
        assert script.stdout.readline() == "warm\n"
        assert shared_memory_of(os.getpid()) >= 2
        script.kill()
        script.wait(10)
        script.stdout.close()
        until(lambda: not hosted.server._rpc._sessions)
        until(lambda: gc.collect() >= 0 and shared_memory_of(os.getpid()) == 0)
        assert budget.used == 0


def test_cut_lanes_lose_and_repeat_nothing(warm):
    """Segments outlive the lane that they came over; those that were on their way are dropped."""
    over = threading.Event()

    def cutting() -> None:
        while not over.wait(random.uniform(0.0, 0.08)):
            cut(warm)

    def work(number: int) -> None:
        rng = random.Random(number)
        for n in range(30):
            data = noise(n, rng.randrange(200 * KIB, 5 * MIB))
            if n % 2:
                assert np.array_equal(warm.pool.call(timeout=60).echo(data), data)
            else:
                assert warm.pool.call(timeout=60).keep(data) == hashlib.sha256(data).hexdigest()

    cutter = threading.Thread(target=cutting)
    cutter.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == [None] * 4
    finally:
        over.set()
        cutter.join()
    assert warm.pool.call(timeout=20).counted("keep") == 60
    until(lambda: over_lane(warm))
    warm_up(warm)
    until(lambda: "OFFERED" not in states(links(warm)[0]) + states(links(warm)[1]))


def test_an_offer_that_does_not_arrive_is_taken_back(hosted, monkeypatch):
    """The lane is cut as soon as it was sent, before anybody can have read it."""
    offers = 0
    offer = SharedMemory._write_offer

    def offer_and_cut(lane: Any, own: OwnSegment) -> None:
        nonlocal offers
        offer(lane, own)
        offers += 1
        if offers <= 3:
            lane._sock.shutdown(socket.SHUT_RDWR)

    monkeypatch.setattr(SharedMemory, "_write_offer", staticmethod(offer_and_cut))
    warm_up(hosted)
    assert offers > 3
    until(lambda: "OFFERED" not in states(links(hosted)[0]) + states(links(hosted)[1]))


_FORK = """
import gc, hashlib, os, sys
import numpy as np
from iris_actor.rpc.sessions import sessions
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
link = None

def noise(seed):
    return np.random.default_rng(seed).integers(0, 255, 3_000_000, dtype=np.uint8)

def lent(seed):
    while True:
        taken = sessions.get(sys.argv[1], None)._carrier.memory.loans.taken
        array = pool.call(timeout=20).echo(noise(seed))
        if sessions.get(sys.argv[1], None)._carrier.memory.loans.taken > taken:
            return array

def same(array, seed):
    return bool(np.array_equal(array, noise(seed)))

pool.call(timeout=20).echo(0)
kept, dropped = lent(1), lent(2)
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    ok = same(kept, 1) and same(dropped, 2)
    kept[:] = 0                      # nobody else's business
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    ok = ok and same(dropped, 2)     # though the parent let go of it, and got others since
    os._exit(0 if ok and not kept.any() else 1)
os.read(ready[0], 1)
assert same(kept, 1), "the child's writes are seen"
dropped[:] = 9
del dropped
gc.collect()
for seed in range(10, 40):
    assert same(pool.call(timeout=20).echo(noise(seed)), seed)
os.write(go[1], b"x")
assert os.waitpid(child, 0)[1] == 0, "the child's memory changed"
assert same(kept, 1)
assert same(lent(50), 50)
print("both are sound")
"""


def test_a_fork_shares_nothing_with_parent_and_sender():
    with ServerProcess() as server:
        assert run_script(_FORK, server.address, timeout=60) == "both are sound\n"


_INTERRUPTED = """
import random, signal, sys, time
import numpy as np
from iris_actor.rpc.sessions import sessions
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
data = np.random.default_rng(0).integers(0, 255, 3_000_000, dtype=np.uint8)

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
for _ in range(20):
    assert np.array_equal(pool.call(timeout=20).echo(data), data)

def work():  # CPython 3.13.0 leaves a loop's jump back out of the `try` that it stands in
    for n in range(100):
        data[n] = n
        assert np.array_equal(pool.call(timeout=20).echo(data), data)

hit = 0
end = time.monotonic() + 2
while time.monotonic() < end or hit <= 50:
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-2))
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit += 1
for n in range(20):
    assert np.array_equal(pool.call(timeout=20).echo(data), data)
print("survived", sessions.get(sys.argv[1], None)._carrier.memory.loans.taken > 20)
"""


def test_ctrl_c_at_any_moment_leaves_it_in_order():
    with ServerProcess() as server:
        assert run_script(_INTERRUPTED, server.address, timeout=90) == "survived True\n"


_HELD_TO_THE_END = """
import sys
import numpy as np
from iris_actor.rpc.sessions import sessions
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
data = np.arange(500_000)
held = [pool.call(timeout=20).echo(data) for _ in range(30)]
cycle = [held]
cycle.append(cycle)
sys.modules["kept"] = held
print(sessions.get(sys.argv[1], None)._carrier.memory.loans.taken > 0)
"""


def test_an_interpreter_that_ends_with_loans_says_nothing_about_it():
    with ServerProcess() as server:
        done = subprocess.run(
            [sys.executable, "-c", _HELD_TO_THE_END, server.address],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert (done.stdout, done.stderr) == ("True\n", "")


_LIMITED = """
import resource, sys
import numpy as np
from iris_actor.rpc.sessions import sessions
from tests.support.serving import lookup_at

pool = lookup_at(sys.argv[1])
pool.call(timeout=20).echo(0)
exec(sys.argv[2])
data = np.arange(600_000)
for n in range(12):
    data += 1
    assert np.array_equal(pool.call(timeout=20).echo(data), data)
link = sessions.get(sys.argv[1], None)._carrier
print(link.memory.arena.lent, link.memory.loans.taken > 0)
"""
_NO_LARGE_FILES = "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
_NO_DESCRIPTORS = """
import os
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, max(held) + 1))
"""


@pytest.mark.parametrize(("limit", "lends"), [(_NO_LARGE_FILES, True), (_NO_DESCRIPTORS, False)])
def test_where_it_cannot_be_had_bodies_travel_as_before(limit, lends):
    """The first cannot make segments, but map the other side's; the second can do neither."""
    with ServerProcess() as server:
        assert run_script(_LIMITED, server.address, limit, timeout=60) == f"0 {lends}\n"


def test_threads_that_send_all_sizes_at_once_mix_nothing_up(warm):
    def work(number: int) -> None:
        rng = random.Random(number)
        held = []
        for n in range(40):
            data = noise(n + number, rng.choice([10, 300 * KIB, MIB, SIZE, 3 * MIB, 6 * MIB]))
            back = warm.pool.call(timeout=60).echo(data)
            assert np.array_equal(back, data)
            if rng.random() < 0.3:
                held.append((n + number, back))
            if len(held) > 5:
                seed, old = held.pop(rng.randrange(len(held)))
                assert np.array_equal(old, noise(seed, len(old)))

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == [None] * 6
    until(lambda: all_home(warm))


# --- the parts ----------------------------------------------------------------------------------------


def test_parts_stand_at_multiples_of_64():
    assert layout([]) == ([], 0)
    assert layout([1, 64, 0, 65]) == ([0, 64, 128, 128], 256)


def sealed(size: int, seals: int = fcntl.F_SEAL_SHRINK) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def offer(loans: Loans, number: int, size: int, inode: int | None = None) -> bool:
    fd = sealed(size)
    return loans.map(number, size, os.fstat(fd).st_ino if inode is None else inode, fd)


def test_what_could_be_cut_off_under_our_feet_is_not_mapped(tmp_path):
    loans = Loans(lambda _: None)
    (tmp_path / "file").write_bytes(bytes(MIB))
    reader, writer = os.pipe()
    os.close(writer)
    bad = [
        (MIB, sealed(MIB, fcntl.F_SEAL_GROW)),
        (2 * MIB, sealed(MIB)),
        (0, sealed(MIB)),
        (1 << 40, sealed(MIB)),
        (MIB, os.open(tmp_path / "file", os.O_RDWR)),
        (MIB, reader),
    ]
    for number, (size, fd) in enumerate(bad):
        assert not loans.map(number, size, os.fstat(fd).st_ino, fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert not offer(loans, 1, MIB, inode=12345)  # another file than the one that is meant
    assert offer(loans, 1, MIB)
    assert not offer(loans, 1, MIB)  # the number is taken


def test_a_peer_that_lends_what_it_cannot_is_told_so():
    given_back: list[int] = []
    loans = Loans(given_back.append)
    assert offer(loans, 1, MIB)
    for number, sizes in [(2, [10]), (1, [10, MIB])]:
        with pytest.raises(ProtocolError, match=f"segment {number} was lent"):
            loans.body(number, sizes)
    body = loans.body(1, [10, 20])
    with pytest.raises(ProtocolError, match="segment 1 was lent"):
        loans.body(1, [10])
    buffer = body.buffers[0]
    del body
    assert given_back == []
    del buffer
    assert given_back == [1]
    view = loans.body(1, [10]).data
    loans.drop(1)
    del view
    assert given_back == [1]


def test_a_session_maps_only_so_many():
    loans = Loans(lambda _: None)
    mapped = [offer(loans, number, 4096) for number in range(100)]
    assert mapped == [True] * 64 + [False] * 36
    loans.close()
    assert not offer(loans, 200, 4096)


def test_a_segment_that_was_dropped_while_it_was_filled_is_not_lent():
    offered: list[OwnSegment] = []
    dropped: list[int] = []
    arena = Arena(offered.append, dropped.append)
    assert arena.take(MIB) is None
    assert arena.take(MIB) is None  # the second time one is made
    until(lambda: offered)
    (own,) = offered
    assert arena.take(MIB) is None  # nobody has mapped it yet
    arena.mapped(own.number)
    taken = arena.take(MIB)
    assert taken is own
    assert arena.take(MIB) is None
    own.touched -= arena_module.KEEP + 1
    arena.trim()
    assert dropped == [own.number]
    assert not arena.lend(own)
    arena.close()
    assert arena.take(MIB) is None


def test_a_made_segment_has_the_size_that_it_is_to_have():
    for size in (4096, MIB, 3 * MIB + 4096):
        segment = Segment.create(1, size)
        assert len(segment.map) == os.fstat(segment.fd).st_size == size
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(segment.fd, 0)


def test_descriptors_of_a_stranger_are_closed(hosted):
    me = psutil.Process()
    before = me.num_fds()
    reader, writer = os.pipe()
    for count in (1, 8, 200):
        with stranger(hosted) as sock:
            rights = array("i", [reader] * count)
            sock.sendmsg([b"\x04\x00\x00\x00nope"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            assert sock.recv(100) == b""
    with stranger(hosted) as sock, suppress(BrokenPipeError):
        for _ in range(20):  # and never a whole message
            sock.sendmsg([b"\x01"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [reader] * 3))])
    os.close(reader)
    os.close(writer)
    until(lambda: me.num_fds() <= before)
    assert hosted.pool.call(timeout=10).echo(2) == 2
