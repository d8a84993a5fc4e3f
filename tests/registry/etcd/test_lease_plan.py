"""Single decisions about leased keys, and what is told of them."""

from __future__ import annotations

import pytest

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.errors import KeyTakenError, LeaseGoneError
from iris_actor.etcd.leased.actions import (
    Delete,
    End,
    Event,
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
from iris_actor.etcd.leased.plan import BATCH, REFUSED_PAUSE, LeasePlan

TTL = 9.0
LEASE = 7
SILENT = RegistryUnavailableError("etcd://h:1", "silent")


def key(number: int) -> LeasedKey:
    return LeasedKey(b"key-%d" % number, b"value")


def granted(*keys: LeasedKey) -> LeasePlan:
    """A plan that wants `keys`, and got its lease at 0."""
    plan = LeasePlan(TTL)
    for leased in keys:
        assert plan.want(leased)
    plan.granted(LEASE, TTL, sent=0.0)
    plan.marked()
    return plan


def standing(*keys: LeasedKey) -> LeasePlan:
    plan = granted(*keys)
    assert plan.next(0.0) == PutFree(keys, LEASE)
    plan.put(keys)
    return plan


def events(plan: LeasePlan) -> list[Event]:
    return [news.event for news in plan.take_news()]


def test_the_first_key_takes_a_lease_an_id_of_the_data_and_a_put():
    plan, leased = LeasePlan(TTL), key(1)
    assert plan.next(0.0) == Wait(float("inf"))
    assert plan.want(leased)
    assert plan.next(0.0) == Grant()
    plan.granted(LEASE, TTL, sent=0.0)
    assert plan.next(0.1) == Mark()
    plan.marked()
    assert plan.next(0.2) == PutFree((leased,), LEASE)
    plan.put([leased])
    assert leased.stands
    assert plan.next(0.3) == Wait(TTL / 3)
    assert events(plan) == []


def test_a_key_is_wanted_once():
    plan = LeasePlan(TTL)
    assert plan.want(key(1))
    assert not plan.want(key(1))


def test_many_keys_are_put_in_batches_and_the_lease_is_kept_alive_between_them():
    keys = [key(number) for number in range(BATCH + 1)]
    plan = granted(*keys)
    assert plan.next(0.0) == PutFree(tuple(keys[:BATCH]), LEASE)
    plan.put(keys[:BATCH])
    assert plan.next(TTL / 3) == KeepAlive(LEASE)
    plan.kept_alive(TTL, sent=TTL / 3)
    assert plan.next(TTL / 3) == Look(LEASE)
    plan.looked(frozenset(leased.key for leased in keys[:BATCH]))
    assert plan.next(TTL / 3) == PutFree((keys[-1],), LEASE)


def test_of_keys_that_cannot_be_put_together_only_the_one_at_fault_waits():
    bad, good = key(1), key(2)
    plan = granted(bad, good)
    together = plan.next(0.0)
    assert isinstance(together, PutFree)
    plan.failed(together, RegistryError("too large"), 0.0)
    alone = PutOwn(bad, LEASE, frozenset({LEASE}))
    assert plan.next(0.0) == alone
    plan.failed(alone, RegistryError("too large"), 0.0)
    assert plan.next(0.0) == PutOwn(good, LEASE, frozenset({LEASE}))
    plan.put([good])
    assert plan.next(0.0) == Wait(REFUSED_PAUSE)
    assert (str(bad.error), good.error) == ("too large", None)
    assert plan.next(REFUSED_PAUSE) == alone


@pytest.mark.parametrize("state", [KeyState.WANTED, KeyState.LOST])
def test_a_key_that_another_holds_is_tried_again_each_second(state):
    leased = key(1)
    plan = granted(leased)
    if state is KeyState.LOST:
        plan.put([leased])
        plan.looked(frozenset())
        assert events(plan) == [Event.LOST]
    plan.not_free([leased])
    for second in range(3):
        alone = plan.next(float(second))
        assert alone == PutOwn(leased, LEASE, frozenset({LEASE}))
        plan.failed(alone, KeyTakenError("etcd://h:1", leased.key), float(second))
        assert plan.next(float(second)) == Wait(second + REFUSED_PAUSE)
    assert leased.state is state
    # It is told once, and only about what stood: who puts a new key is told by an error.
    assert events(plan) == ([Event.NOT_PUT_BACK] if state is KeyState.LOST else [])


def test_a_lost_lease_is_replaced_and_all_is_put_on_the_new_one():
    keys = (key(1), key(2))
    plan = standing(*keys)
    beat = plan.next(TTL / 3)
    assert beat == KeepAlive(LEASE)
    plan.failed(beat, LeaseGoneError("gone"), TTL / 3)
    assert {leased.state for leased in keys} == {KeyState.LOST}
    assert plan.next(TTL / 3) == Grant()
    plan.granted(8, TTL, sent=TTL / 3)
    plan.marked()
    assert plan.next(TTL / 3) == PutFree(keys, 8)
    plan.not_free(keys)
    # The old lease counts as our own: the key may still be on it.
    assert plan.next(TTL / 3) == PutOwn(keys[0], 8, frozenset({LEASE, 8}))
    plan.put(keys)
    assert events(plan) == [Event.LEASE_GONE, Event.LOST, Event.BACK]


def test_after_a_silence_longer_than_the_lease_nobody_can_tell_until_etcd_shows_the_keys():
    kept, gone = key(1), key(2)
    plan = standing(kept, gone)
    plan.failed(KeepAlive(LEASE), SILENT, TTL - 0.1)
    assert kept.stands
    plan.failed(KeepAlive(LEASE), SILENT, TTL)
    assert {kept.state, gone.state} == {KeyState.DOUBTFUL}
    assert plan.error is SILENT
    plan.failed(KeepAlive(LEASE), SILENT, TTL + 1)
    plan.kept_alive(TTL, sent=TTL + 2)
    assert kept.state is KeyState.DOUBTFUL
    plan.looked(frozenset({kept.key}))
    assert (kept.state, gone.state) == (KeyState.STANDS, KeyState.LOST)
    assert plan.error is None
    assert events(plan) == [Event.DOUBTFUL, Event.KEPT, Event.LOST]


def test_a_put_of_unknown_outcome_is_deleted_twice_for_it_may_come_late():
    leased = key(1)
    plan = granted(leased)
    put = plan.next(0.0)
    plan.failed(put, SILENT, 0.0)
    plan.leave(leased)
    assert plan.next(0.0) == Delete(leased, LEASE)
    plan.deleted(leased, 0.0)
    assert leased.state is KeyState.LEAVING
    assert plan.next(0.0) == Wait(TTL / 3)
    plan.kept_alive(TTL, sent=TTL / 3)
    plan.looked(frozenset())
    assert plan.next(TTL / 3) == Delete(leased, LEASE)
    plan.deleted(leased, TTL / 3)
    assert leased.state is KeyState.GONE


def test_a_key_that_was_never_tried_is_gone_at_once():
    plan, leased = LeasePlan(TTL), key(1)
    plan.want(leased)
    plan.leave(leased)
    assert leased.state is KeyState.GONE
    assert plan.next(0.0) == Wait(float("inf"))


def test_a_key_that_is_wanted_again_is_not_deleted_and_goes_with_the_last_wish():
    first, second = key(1), key(1)
    plan = standing(first)
    plan.leave(first)
    assert plan.want(second)
    # There is more to do, so that the second is not even tried.
    other = key(2)
    plan.want(other)
    plan.not_free([other])
    assert plan.next(0.0) == PutOwn(other, LEASE, frozenset({LEASE}))
    assert first.state is KeyState.GONE
    plan.leave(second)
    assert plan.next(0.0) == Delete(second, LEASE)


def test_a_deletion_that_etcd_refuses_is_left_to_the_lease():
    leased = key(1)
    plan = standing(leased)
    plan.leave(leased)
    plan.failed(Delete(leased, LEASE), RegistryError("permission denied"), 0.0)
    assert leased.state is KeyState.GONE
    assert events(plan) == [Event.NOT_DELETED]


def test_who_waits_for_a_first_put_is_told_that_etcd_refuses_a_lease():
    leased = key(1)
    plan = LeasePlan(TTL)
    plan.want(leased)
    for now in (0.0, 1.0):
        assert plan.next(now) == Grant()
        plan.failed(Grant(), RegistryError("permission denied"), now)
        assert plan.next(now) == Wait(now + REFUSED_PAUSE)
    assert str(leased.error) == "permission denied"
    assert events(plan) == [Event.REFUSED]


def test_pauses_grow_while_etcd_is_silent_and_a_new_wish_ends_one():
    plan = LeasePlan(TTL)
    plan.want(key(1))
    pauses = []
    now = 0.0
    for _ in range(8):
        plan.failed(Grant(), SILENT, now)
        wait = plan.next(now)
        assert isinstance(wait, Wait)
        pauses.append(wait.until - now)
        now = wait.until
    assert pauses[0] <= 0.05
    assert 0.5 <= pauses[-1] <= 1.0
    plan.failed(Grant(), SILENT, now)
    plan.want(key(2))
    assert plan.next(now) == Grant()


def test_closing_revokes_and_ends():
    stands, leaving = key(1), key(2)
    plan = standing(stands, leaving)
    plan.leave(leaving)
    plan.close()
    assert {stands.state, leaving.state} == {KeyState.GONE}
    assert plan.next(0.0) == Revoke(LEASE, 0.5)
    assert plan.next(0.0) == End()


def test_closing_during_a_silence_gives_up_sooner():
    plan = standing(key(1))
    plan.failed(KeepAlive(LEASE), SILENT, TTL / 3)
    plan.close()
    assert plan.next(TTL / 3) == Revoke(LEASE, 0.2)


def test_an_answer_that_comes_after_the_end_changes_nothing_but_the_lease():
    leased = key(1)
    plan = LeasePlan(TTL)
    plan.want(leased)
    plan.close()
    plan.granted(LEASE, TTL, sent=0.0)
    plan.put([leased])
    assert leased.state is KeyState.GONE
    assert plan.next(0.0) == Revoke(LEASE, 0.5)
