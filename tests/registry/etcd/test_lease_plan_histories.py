"""Random histories of leased keys: whatever etcd, others and users do, what is wished comes to stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.errors import KeyTakenError, LeaseGoneError
from iris_actor.etcd.leased.actions import (
    Delete,
    End,
    Grant,
    KeepAlive,
    Look,
    Mark,
    PutFree,
    PutOwn,
    Revoke,
    Wait,
)
from iris_actor.etcd.leased.key import KeyState, LeasedKey
from iris_actor.etcd.leased.plan import LeasePlan

TTL = 9.0
BEAT = TTL / 3
OLD, FOREIGN = b"old", b"foreign"
FENCED = 3
"""The key that may replace the value OLD."""
KEYS = range(4)
NOBODY = 0


class Fate(Enum):
    """What becomes of a request."""

    WELL = "well"
    SILENT = "silent"
    ANSWER_LOST = "answer lost"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    value: bytes
    lease: int
    revision: int


@dataclass
class World:
    """An etcd that is kept in dicts, other processes, and users with wishes."""

    now: float = 0.0
    fate: Fate = Fate.WELL
    store: dict[bytes, Entry] = field(default_factory=dict)
    leases: dict[int, float] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    revision: int = 0
    requests: int = 0
    late: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    wished: dict[int, LeasedKey] = field(default_factory=dict)
    made: list[LeasedKey] = field(default_factory=list)
    left_to_the_lease: set[bytes] = field(default_factory=set)
    """Keys whose deletion etcd refused: they end with the lease."""
    plan: LeasePlan = field(default_factory=lambda: LeasePlan(TTL))

    # --- users, and others ---

    def want(self, number: int) -> None:
        if number not in self.wished:
            previous = OLD if number == FENCED else None
            leased = LeasedKey(b"key-%d" % number, b"value-%d" % len(self.made), previous=previous)
            assert self.plan.want(leased)
            self.made.append(leased)
            self.wished[number] = leased
            self.run()

    def leave(self, number: int) -> None:
        leased = self.wished.pop(number, None)
        if leased is not None:
            self.plan.leave(leased)
            assert leased.state in {KeyState.LEAVING, KeyState.GONE}
            self.run()

    def leave_and_want_again(self, number: int) -> None:
        """Before anything can be done about the first."""
        leased = self.wished.pop(number, None)
        if leased is not None:
            self.plan.leave(leased)
        self.want(number)

    def want_for_a_moment(self, number: int) -> None:
        self.leave(number)
        leased = LeasedKey(b"key-%d" % number, b"brief")
        assert self.plan.want(leased)
        self.made.append(leased)
        self.plan.leave(leased)
        self.run()

    def take_over(self, number: int) -> None:
        self.write(b"key-%d" % number, FOREIGN, NOBODY)

    def hold_an_old_value(self, number: int) -> None:
        self.write(b"key-%d" % number, OLD, NOBODY)

    def delete(self, number: int) -> None:
        self.store.pop(b"key-%d" % number, None)

    def revoke_behind_its_back(self, _: int) -> None:
        self.end_lease(self.plan.lease)

    def wipe(self, _: int) -> None:
        self.store.clear()
        self.leases.clear()

    def have(self, fate: Fate) -> None:
        self.fate = fate

    def pass_time(self, seconds: float) -> None:
        """Step from one moment at which something is due to the next."""
        end = self.now + seconds
        while self.now < end:
            action = self.plan.next(self.now)
            assert isinstance(action, Wait), "it had waited"
            self.now = min(end, max(action.until, self.now), *(at for at, _ in self.late), self.now + BEAT)
            self.land()
            for lease in [lease for lease, until in self.leases.items() if until <= self.now]:
                self.end_lease(lease)
            self.run()

    def land(self) -> None:
        for at, do in list(self.late):
            if at <= self.now:
                self.late.remove((at, do))
                do()

    def end_lease(self, lease: int) -> None:
        self.leases.pop(lease, None)
        for key in [key for key, entry in self.store.items() if lease and entry.lease == lease]:
            del self.store[key]

    def write(self, key: bytes, value: bytes, lease: int) -> None:
        self.revision += 1
        self.store[key] = Entry(value, lease, self.revision)

    # --- etcd ---

    def run(self) -> None:
        """Do what the plan asks for until it waits."""
        for _ in range(200):
            request = self.plan.next(self.now)
            if isinstance(request, Wait | End):
                assert not isinstance(request, Wait) or request.until > self.now, "it would spin"
                return
            self.serve(request)
        raise AssertionError("it never waits")

    def serve(self, request: Any) -> None:
        self.requests += 1
        do, note = self.meaning(request)
        if self.fate is Fate.WELL:
            try:
                note(do())
            except RegistryError as error:
                self.plan.failed(request, error, self.now)
        elif self.fate is Fate.REFUSED:
            if isinstance(request, Delete):
                self.left_to_the_lease.add(request.key.key)
            self.plan.failed(request, RegistryError("no"), self.now)
        else:
            if self.fate is Fate.ANSWER_LOST:
                self.unheard(do)
            elif self.fate is Fate.LATE:
                self.late.append((self.now + BEAT * 0.9, lambda: self.unheard(do)))
            self.plan.failed(request, RegistryUnavailableError("etcd://h:1", "silent"), self.now)

    def unheard(self, do: Callable[[], object]) -> None:
        try:
            do()
        except RegistryError:
            pass  # nobody hears of it

    def meaning(self, request: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """What etcd does about it, and what tells the plan of that."""
        plan, sent = self.plan, self.now
        match request:
            case Grant():
                return self.grant, lambda lease: plan.granted(lease, TTL, sent)
            case Mark():
                return lambda: None, lambda _: plan.marked()
            case KeepAlive(lease):
                return lambda: self.keep_alive(lease), lambda _: plan.kept_alive(TTL, sent)
            case Look(lease):
                return lambda: self.keys_on(lease), plan.looked
            case PutFree(keys, lease):
                return (
                    lambda: self.put_free(keys, lease),
                    lambda done: plan.put(keys) if done else plan.not_free(keys),
                )
            case PutOwn(leased, lease, own):
                there = self.store.get(leased.key)
                return lambda: self.put_own(leased, lease, own, there), lambda _: plan.put([leased])
            case Delete(leased, lease):
                return lambda: self.delete_held(leased, lease), lambda _: plan.deleted(leased, self.now)
            case Revoke(lease):
                return lambda: self.end_lease(lease), lambda _: None
        raise AssertionError(request)

    def grant(self) -> int:
        lease = len(self.own) + 1
        self.own.add(lease)
        self.leases[lease] = self.now + TTL
        return lease

    def check_lease(self, lease: int) -> None:
        if lease not in self.leases:
            raise LeaseGoneError("requested lease not found")

    def keep_alive(self, lease: int) -> None:
        self.check_lease(lease)
        self.leases[lease] = self.now + TTL

    def keys_on(self, lease: int) -> frozenset[bytes]:
        return frozenset(key for key, entry in self.store.items() if entry.lease == lease)

    def put_free(self, keys: tuple[LeasedKey, ...], lease: int) -> bool:
        if any(leased.key in self.store for leased in keys):
            return False
        self.check_lease(lease)
        for leased in keys:
            self.write(leased.key, leased.value, lease)
        return True

    def put_own(self, leased: LeasedKey, lease: int, own: frozenset[int], there: Entry | None) -> None:
        """As in `put_if_own`: what was read must still be so when it is written."""
        free = there is None or there.lease in own or leased.previous == there.value
        if not free or self.store.get(leased.key) != there:
            raise KeyTakenError("etcd://h:1", leased.key)
        self.check_lease(lease)
        self.write(leased.key, leased.value, lease)

    def delete_held(self, leased: LeasedKey, lease: int) -> None:
        there = self.store.get(leased.key)
        if there is not None and there.lease == lease:
            del self.store[leased.key]


numbers = st.sampled_from(KEYS)
steps = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                World.want,
                World.leave,
                World.leave_and_want_again,
                World.want_for_a_moment,
                World.take_over,
                World.hold_an_old_value,
                World.delete,
            ]
        ),
        numbers,
    ),
    st.tuples(st.sampled_from([World.want, World.leave]), numbers),
    st.tuples(st.sampled_from([World.revoke_behind_its_back, World.wipe]), st.just(0)),
    st.tuples(st.just(World.have), st.sampled_from(Fate)),
    st.tuples(st.just(World.have), st.just(Fate.WELL)),
    st.tuples(st.just(World.pass_time), st.sampled_from([0.01, 0.3, 1.0, BEAT, TTL, 2.5 * TTL])),
)
histories = st.lists(steps, max_size=40)


def play(history: list[tuple[Any, Any]]) -> World:
    world = World()
    for step, argument in history:
        step(world, argument)
        standing = [leased.key for leased in world.made if leased.stands]
        assert len(standing) == len(set(standing)), "a key stands for one at most"
    return world


def settle(world: World) -> None:
    """Let all be well for long enough."""
    world.have(Fate.WELL)
    world.pass_time(3 * TTL)


@settings(max_examples=800, deadline=None)
@given(histories)
def test_what_is_wished_comes_to_stand_and_what_is_not_goes(history):
    world = play(history)
    settle(world)
    for leased in world.wished.values():
        there = world.store[leased.key]
        if there.lease in world.own:
            assert (leased.state, leased.error) == (KeyState.STANDS, None)
            assert (there.value, there.lease) == (leased.value, world.plan.lease)
        else:
            assert leased.state in {KeyState.WANTED, KeyState.LOST}
            assert isinstance(leased.error, KeyTakenError)
            assert there.value != leased.previous
    wished = {leased.key for leased in world.wished.values()}
    ours = {key for key, entry in world.store.items() if entry.lease in world.own}
    assert ours <= wished | world.left_to_the_lease
    left = [leased for leased in world.made if leased not in world.wished.values()]
    assert {leased.state for leased in left} <= {KeyState.GONE}


@settings(max_examples=250, deadline=None)
@given(histories, numbers)
def test_what_another_holds_is_never_touched(history, number):
    world = play(history)
    world.take_over(number)
    held = world.store[b"key-%d" % number]
    for step, argument in history:
        if step not in {World.take_over, World.hold_an_old_value, World.delete, World.wipe}:
            step(world, argument)
            assert world.store[b"key-%d" % number] == held
    settle(world)
    assert world.store[b"key-%d" % number] == held


@settings(max_examples=150, deadline=None)
@given(histories)
def test_the_end_leaves_nothing(history):
    world = play(history)
    settle(world)
    world.plan.close()
    world.run()
    assert world.plan.next(world.now) == End()
    assert {leased.state for leased in world.made} <= {KeyState.GONE}
    assert [key for key, entry in world.store.items() if entry.lease in world.own] == []


@settings(max_examples=150, deadline=None)
@given(histories)
def test_at_rest_it_asks_no_more_than_the_lease_needs(history):
    world = play(history)
    settle(world)
    foreign = sum(not leased.stands for leased in world.wished.values())
    lease, before = world.plan.lease, world.requests
    world.pass_time(10 * BEAT)
    assert world.plan.lease == lease
    # A keepalive and a look in each beat; and once a second whatever is held by another is tried.
    assert world.requests - before <= 2 * 11 + foreign * (10 * BEAT + 1)
