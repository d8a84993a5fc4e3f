"""Random histories of a watch: whatever breaks, what it shows is what was there, and comes to be what is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.watch.plan import Follow, List, Position, Wait, WatchPlan, WatchState

SILENT = RegistryUnavailableError("etcd://h:1", "silent")


@dataclass
class Data:
    """The data of one etcd: each change has a revision, and the oldest changes may be forgotten."""

    cluster: int = 1
    data_id: bytes | None = None
    changes: list[tuple[str, int | None]] = field(default_factory=list)
    compacted: int = 0

    @property
    def revision(self) -> int:
        return len(self.changes)

    def at(self, revision: int) -> dict[str, int]:
        view: dict[str, int] = {}
        for key, value in self.changes[:revision]:
            if value is None:
                view.pop(key, None)
            else:
                view[key] = value
        return view


@dataclass
class World:
    """An etcd, and a watcher who keeps a view of it by what a WatchPlan decides."""

    now: float = 0.0
    plan: WatchPlan = field(default_factory=WatchPlan)
    data: Data = field(default_factory=Data)
    reachable: bool = True
    refusing: bool = False
    meanwhile: Callable[[World], None] | None = None
    """What happens between the next listing and the changes that follow it."""
    view: dict[str, int] = field(default_factory=dict)
    shown: Data | None = None
    revision: int = 0
    listings: int = 0

    # --- what happens ---

    def put(self, key: str) -> None:
        self.data.changes.append((key, self.data.revision))
        self.run()

    def delete(self, key: str) -> None:
        self.data.changes.append((key, None))
        self.run()

    def mark(self, _: str) -> None:
        """The first registration gives the data an id."""
        self.give_id()
        self.run()

    def give_id(self) -> None:
        if self.data.data_id is None:
            self.data.data_id = b"id-%d" % id(self.data)
            self.data.changes.append(("store", 0))

    def replace_data(self) -> None:
        marked = self.data.data_id is not None
        self.data = Data(cluster=self.data.cluster, changes=[("b", 0)] * self.data.revision)
        if marked:
            self.give_id()

    def compact(self, _: str) -> None:
        self.data.compacted = self.data.revision

    def put_while_it_lists(self, _: str) -> None:
        self.meanwhile = lambda world: world.data.changes.append(("a", -1))

    def mark_while_it_lists(self, _: str) -> None:
        self.meanwhile = lambda world: world.give_id()

    def begin_anew_while_it_lists(self, _: str) -> None:
        # Data without an id are the same as others without one: that cannot be told.
        if self.data.data_id is not None:
            self.meanwhile = lambda world: world.replace_data()

    def lose(self, _: str) -> None:
        """Etcd can no longer be reached."""
        self.reachable = False
        if self.plan.state is not WatchState.UNLISTED:
            self.plan.broke(SILENT, self.now)
            assert self.plan.stale

    def cut(self, _: str) -> None:
        """The stream breaks, and etcd is still there."""
        if self.plan.state is WatchState.FOLLOWING:
            self.plan.broke(SILENT, self.now)

    def regain(self, _: str) -> None:
        self.reachable = True
        self.run()

    def begin_anew(self, _: str) -> None:
        """Etcd comes back without its data, or another one in its place; that has an id if ours had."""
        self.lose("")
        self.meanwhile = None
        self.replace_data()

    def another_cluster(self, _: str) -> None:
        self.lose("")
        self.data = Data(cluster=self.data.cluster + 1, changes=[("x", 0)] * 5)

    def refuse(self, _: str) -> None:
        self.refusing = True

    def admit(self, _: str) -> None:
        self.refusing = False

    def pass_time(self, _: str) -> None:
        self.now += 2.5
        self.run()

    # --- the watcher ---

    def run(self) -> None:
        """Do what the plan asks for until it waits, or follows all there is."""
        for _ in range(100):
            if self.plan.state is WatchState.FOLLOWING:
                self.follow()
                return
            action = self.plan.next(self.now)
            if isinstance(action, Wait):
                assert action.until > self.now
                return
            if not self.reachable:
                self.plan.broke(SILENT, self.now)
            elif self.refusing:
                self.plan.broke(RegistryError("permission denied"), self.now)
                assert self.plan.refusal is not None
            elif isinstance(action, List):
                self.list()
            else:
                self.begin(action)
        raise AssertionError("it never waits")

    def list(self) -> None:
        self.listings += 1
        data = self.data
        self.view, self.shown, self.revision = data.at(data.revision), data, data.revision
        self.plan.listed(Position(data.revision, data.data_id, data.cluster))
        assert not self.plan.stale
        if self.meanwhile is not None:
            self.meanwhile(self)
            self.meanwhile = None

    def begin(self, action: Follow) -> None:
        data = self.data
        assert self.plan.stale or self.plan.state is WatchState.LISTED
        if self.plan.confirmed(Position(data.revision, data.data_id, data.cluster), self.now):
            assert action.revision == self.revision + 1, "it takes up where the view is"
            assert self.shown is data, "no view of other data goes on"
            assert not self.plan.stale
            assert self.plan.refusal is None

    def follow(self) -> None:
        data = self.data
        if self.revision < data.compacted:
            self.plan.compacted()
            self.run()
            return
        for key, value in data.changes[self.revision :]:
            self.revision += 1
            if value is None:
                self.view.pop(key, None)
            else:
                self.view[key] = value
            self.plan.changed(self.revision)


keys = st.sampled_from("abc")
steps = st.tuples(
    st.one_of(
        st.sampled_from([World.put, World.delete, World.pass_time]),
        st.sampled_from(
            [
                World.mark,
                World.compact,
                World.lose,
                World.cut,
                World.regain,
                World.begin_anew,
                World.another_cluster,
                World.refuse,
                World.admit,
                World.put_while_it_lists,
                World.mark_while_it_lists,
                World.begin_anew_while_it_lists,
            ]
        ),
    ),
    keys,
)
histories = st.lists(steps, max_size=40)


@settings(max_examples=1500, deadline=None)
@given(histories)
def test_what_is_shown_was_there_and_comes_to_be_what_is_there(history: list[tuple[Any, str]]):
    world = World()
    for step, key in history:
        step(world, key)
        if world.shown is not None:
            assert world.view == world.shown.at(world.revision)
        if not world.plan.stale and world.plan.state is WatchState.FOLLOWING:
            assert world.view == world.data.at(world.data.revision)
    world.refusing = False
    world.meanwhile = None
    world.regain("")
    for _ in range(4):
        world.pass_time("")
    assert world.plan.state is WatchState.FOLLOWING
    assert world.view == world.data.at(world.data.revision)
    listings = world.listings
    for _ in range(3):
        world.put("a")
        world.pass_time("")
    assert world.listings == listings


@settings(max_examples=500, deadline=None)
@given(histories)
def test_while_etcd_is_away_nothing_is_forgotten(history: list[tuple[Any, str]]):
    world = World()
    for step, key in history:
        step(world, key)
    world.lose("")
    view = dict(world.view)
    for _ in range(5):
        world.pass_time("")
    assert world.view == view
    assert world.plan.stale


@settings(max_examples=300, deadline=None)
@given(histories, st.integers(1, 5))
def test_data_that_have_an_id_are_listed_once_however_often_the_stream_breaks(history, breaks):
    world = World()
    world.mark("")
    for step, key in history:
        if step in {World.put, World.delete, World.cut, World.lose, World.regain, World.pass_time}:
            step(world, key)
    world.regain("")
    for _ in range(4):
        world.pass_time("")
    assert world.listings == 1


def test_a_refusal_is_new_once():
    plan = WatchPlan()
    denied = RegistryError("permission denied")
    assert plan.broke(denied, 0.0)
    assert not plan.broke(denied, 1.0)
    assert not plan.broke(SILENT, 2.0)
    assert plan.refusal is denied
    plan.listed(Position(1, b"id", 1))
    assert plan.refusal is denied, "it may list, and not follow"
    assert plan.confirmed(Position(1, b"id", 1), 3.0)
    assert plan.refusal is None
    assert plan.broke(denied, 4.0)


def test_data_that_change_while_they_are_listed_are_listed_again_after_a_pause():
    plan = WatchPlan()
    plan.listed(Position(5, b"one", 1))
    assert not plan.confirmed(Position(9, b"other", 1), 0.0)
    wait = plan.next(0.0)
    assert isinstance(wait, Wait)
    assert plan.next(wait.until) == List()


def test_a_fault_of_a_listener_has_all_listed_again():
    plan = WatchPlan()
    plan.listed(Position(5, b"one", 1))
    assert plan.confirmed(Position(5, b"one", 1), 0.0)
    plan.failed(0.0)
    assert plan.stale
    wait = plan.next(0.0)
    assert isinstance(wait, Wait)
    assert plan.next(wait.until) == List()


@pytest.mark.parametrize(
    ("there", "goes_on"),
    [
        (Position(5, b"id", 1), True),
        (Position(9, b"id", 1), True),
        (Position(4, b"id", 1), False),
        (Position(9, b"id", 2), False),
        (Position(9, b"other", 1), False),
        (Position(9, None, 1), False),
    ],
    ids=["the same", "later", "a backup that was restored", "a backup in another cluster", "other", "wiped"],
)
def test_after_a_break_it_goes_on_only_with_the_same_data(there, goes_on):
    plan = WatchPlan()
    plan.listed(Position(5, b"id", 1))
    assert plan.confirmed(Position(5, b"id", 1), 0.0)
    plan.broke(SILENT, 0.0)
    assert plan.next(1.0) == Follow(6)
    assert plan.confirmed(there, 1.0) is goes_on
    assert plan.state is (WatchState.FOLLOWING if goes_on else WatchState.UNLISTED)


def test_data_that_get_their_id_after_the_listing_are_known_by_it_from_then_on():
    plan = WatchPlan()
    plan.listed(Position(5, None, 1))
    assert plan.confirmed(Position(6, b"id", 1), 0.0)
    plan.broke(SILENT, 0.0)
    assert plan.confirmed(Position(6, b"id", 1), 1.0)
