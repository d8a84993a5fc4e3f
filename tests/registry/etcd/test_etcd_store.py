"""Keys of any kind on one lease, and watches of any range over one connection, in a real etcd."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from iris_actor.errors import InvalidURLError, RegistryError, RegistryUnavailableError
from iris_actor.etcd.errors import KeyTakenError
from iris_actor.etcd.key_range import KeyRange, KeyValue
from iris_actor.etcd.leased.key import KeyState, LeasedKey
from iris_actor.etcd.store import EtcdStore
from iris_actor.etcd.url import EtcdURL
from iris_actor.etcd.watch.listener import Change
from iris_actor.registry import connect_registry
from iris_actor.registry.registry_handle import RegistryHandle
from tests.registry.conftest import etcd_url, keys, leases, run_etcdctl
from tests.support.processes import run_script
from tests.support.proxy import Proxy
from tests.support.waiting import Stopwatch, until


class View:
    """Notes what a watch tells: a `WatchListener`."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.revision = 0
        self.listings = 0
        self.is_stale = True
        self.fails = 0

    def listed(self, keys: Sequence[KeyValue], revision: int) -> None:
        self._maybe_fail()
        self.listings += 1
        self.keys = {kv.key: kv.value for kv in keys}
        self.revision = revision

    def changed(self, changes: Sequence[Change], revision: int) -> None:
        self._maybe_fail()
        for change in changes:
            if change.value is None:
                self.keys.pop(change.key, None)
            else:
                self.keys[change.key] = change.value
        assert revision >= self.revision
        self.revision = revision

    def stale(self, stale: bool) -> None:
        self.is_stale = stale

    def _maybe_fail(self) -> None:
        if self.fails:
            self.fails -= 1
            raise ValueError("a listener of ours has a fault")


@pytest.fixture
def prefix(namespace: str) -> bytes:
    """What keys of the test begin with."""
    return f"/{namespace}/".encode()


@pytest.fixture
def stores(etcd, namespace) -> Iterator[list[EtcdStore]]:
    """Two stores: what two processes would have."""
    url = EtcdURL.parse(etcd_url(etcd, namespace, ttl=2))
    both = [EtcdStore(url), EtcdStore(url)]
    yield both
    for store in both:
        store.close()


@pytest.fixture
def store(stores) -> EtcdStore:
    return stores[0]


# --- keys -------------------------------------------------------------------------------------------


def test_keys_of_any_kind_share_the_lease_of_the_endpoints(own_etcd, make_endpoint):
    with connect_registry(own_etcd.url) as registry, connect_registry(registry) as other:
        registry.register(make_endpoint())
        assert isinstance(registry, RegistryHandle)
        assert isinstance(other, RegistryHandle)
        store = registry.store
        assert store is not None
        assert store is other.store
        for number in range(100):
            store.put(LeasedKey(b"/iris/jobs/%d" % number, b"\x00\xff"))
        assert len(leases(own_etcd)) == 1
        assert len(keys(own_etcd, "/iris/")) == 102
        registry.close()
        assert len(keys(own_etcd, "/iris/jobs/")) == 100, "another still has the registry"
        with pytest.raises(RegistryError, match="is closed"):
            registry.store  # noqa: B018 - it is a property
    assert leases(own_etcd) == []
    assert keys(own_etcd, "/iris/jobs/") == []


def test_a_registry_in_memory_has_no_etcd(namespace):
    with connect_registry(f"memory://{namespace}") as registry:
        assert isinstance(registry, RegistryHandle)
        assert registry.store is None


def test_a_key_has_one_holder(stores, prefix):
    first, second = (LeasedKey(prefix + b"leader", value) for value in (b"first", b"second"))
    stores[0].put(first)
    with pytest.raises(KeyTakenError, match="leader belongs to another process") as caught:
        stores[1].put(second)
    assert caught.value.key == prefix + b"leader"
    until(lambda: second.state is KeyState.GONE)
    stores[0].remove(first, timeout=10)
    again = LeasedKey(prefix + b"leader", b"second")
    stores[1].put(again)
    assert [kv.value for kv in stores[0].read(KeyRange.key(prefix + b"leader"))] == [b"second"]


def test_a_second_holder_may_wait_for_its_turn(stores, prefix):
    first, second = (LeasedKey(prefix + b"leader", value) for value in (b"first", b"second"))
    stores[0].put(first)
    waiting = threading.Thread(target=lambda: stores[1].put(second, 20, wait_for_turn=True))
    waiting.start()
    until(lambda: isinstance(second.error, KeyTakenError))
    assert waiting.is_alive()
    stores[0].remove(first)
    waiting.join(20)
    assert second.stands
    assert second.error is None


def test_whoever_waits_for_its_turn_in_vain_is_told_who_is_in_the_way(stores, prefix):
    stores[0].put(LeasedKey(prefix + b"leader", b"first"))
    late = LeasedKey(prefix + b"leader", b"second")
    with pytest.raises(KeyTakenError):
        stores[1].put(late, 0.5, wait_for_turn=True)
    until(lambda: late.state is KeyState.GONE)


def test_one_process_has_a_key_once(store, prefix):
    leased = LeasedKey(prefix + b"a", b"1")
    store.put(leased)
    with pytest.raises(RegistryError, match="is taken"):
        store.put(LeasedKey(prefix + b"a", b"2"))
    store.remove(leased)
    with pytest.raises(ValueError, match="make a new one"):
        store.put(leased)
    store.put(LeasedKey(prefix + b"a", b"2"))
    assert [kv.value for kv in store.read(KeyRange.key(prefix + b"a"))] == [b"2"]


def test_a_key_takes_over_from_the_value_that_it_may_replace_and_from_no_other(stores, prefix):
    old = LeasedKey(prefix + b"runner", b"attempt 1")
    stores[0].put(old)
    with pytest.raises(KeyTakenError):
        stores[1].put(LeasedKey(prefix + b"runner", b"attempt 3", previous=b"attempt 2"))
    new = LeasedKey(prefix + b"runner", b"attempt 2", previous=b"attempt 1")
    stores[1].put(new)
    assert new.stands
    # The old one notices, does not put itself back, and its end leaves the new one alone.
    until(lambda: isinstance(old.error, KeyTakenError))
    assert old.state is KeyState.LOST
    stores[0].remove(old, timeout=10)
    [there] = stores[0].read(KeyRange.key(prefix + b"runner"))
    assert there.value == b"attempt 2"
    assert new.stands


def test_of_many_that_replace_the_same_value_one_succeeds(etcd, namespace, prefix):
    with ExitStack() as stack:
        stores = [EtcdStore(EtcdURL.parse(etcd_url(etcd, namespace))) for _ in range(4)]
        for store in stores:
            stack.callback(store.close)
        stores[0].put(LeasedKey(prefix + b"runner", b"attempt 1"))
        mine = [
            LeasedKey(prefix + b"runner", b"attempt 2 of %d" % number, previous=b"attempt 1")
            for number in range(3)
        ]
        refused: list[KeyTakenError] = []

        def take(store: EtcdStore, leased: LeasedKey) -> None:
            try:
                store.put(leased, 20)
            except KeyTakenError as error:
                refused.append(error)

        threads = [threading.Thread(target=take, args=pair) for pair in zip(stores[1:], mine, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 2
        [holder] = [leased for leased in mine if leased.stands]
        assert [kv.value for kv in stores[0].read(KeyRange.key(prefix + b"runner"))] == [holder.value]


def test_a_fenced_key_comes_back_after_an_outage(own_etcd):
    store = EtcdStore(EtcdURL.parse(f"{own_etcd.url}?ttl=1"))
    try:
        run_etcdctl(own_etcd, "put", "/iris/runner", "attempt 1")
        leased = LeasedKey(b"/iris/runner", b"attempt 2", previous=b"attempt 1")
        store.put(leased)
        own_etcd.restart(wipe=True)
        until(lambda: keys(own_etcd, "/iris/runner"))
        assert run_etcdctl(own_etcd, "get", "--print-value-only", "/iris/runner") == "attempt 2\n"
        until(lambda: leased.stands)
    finally:
        store.close()


# --- reading and watching ---------------------------------------------------------------------------


def test_what_is_read_comes_with_its_revisions_and_its_lease(store, prefix):
    a, b = prefix + b"k/a", prefix + b"k/b"
    store.put(LeasedKey(a, b"\x00\xff"))
    store.put(LeasedKey(b, b""))
    first, second = store.read(KeyRange.prefix(prefix + b"k/"))
    assert [(kv.key, kv.value) for kv in (first, second)] == [(a, b"\x00\xff"), (b, b"")]
    assert first.created == first.revision < second.created
    assert first.lease == second.lease != 0
    assert [kv.value for kv in store.read(KeyRange.prefix(prefix + b"k/"), keys_only=True)] == [b"", b""]
    assert store.read(KeyRange.key(prefix)) == []


def test_several_watches_go_over_one_connection(own_etcd):
    with Proxy(f"127.0.0.1:{own_etcd.port}") as proxy:
        store = EtcdStore(EtcdURL.parse(f"etcd://{proxy.address}"))
        try:
            views = {letter: View() for letter in "abcdef"}
            for letter, view in views.items():
                store.watch(KeyRange.prefix(f"/{letter}/".encode()), view)
            until(lambda: not any(view.is_stale for view in views.values()))
            assert proxy.accepted == 1
            for letter in views:
                run_etcdctl(own_etcd, "put", f"/{letter}/key", letter)
            until(lambda: all(view.keys for view in views.values()))
            assert all(
                view.keys == {f"/{letter}/key".encode(): letter.encode()} for letter, view in views.items()
            )
        finally:
            store.close()


def test_a_watch_of_one_key_hears_of_that_key_alone(etcd, store, namespace, prefix):
    one, beside = View(), View()
    store.watch(KeyRange.key(prefix + b"job"), one)
    store.watch(KeyRange.prefix(prefix), beside)
    until(lambda: not (one.is_stale or beside.is_stale))
    for key in ("jo", "job", "job2", "job/child"):
        run_etcdctl(etcd, "put", f"/{namespace}/{key}", key)
    until(lambda: len(beside.keys) == 4)
    until(lambda: one.keys)
    assert one.keys == {prefix + b"job": b"job"}
    run_etcdctl(etcd, "del", "--prefix", f"/{namespace}/job")
    until(lambda: len(beside.keys) == 1)
    until(lambda: not one.keys)


def test_the_end_of_one_watch_is_no_trouble_for_the_others(store, etcd, namespace, prefix, caplog):
    caplog.set_level("INFO")
    views = [View(), View()]
    watches = [store.watch(KeyRange.prefix(prefix), view) for view in views]
    until(lambda: not any(view.is_stale for view in views))
    for _ in range(5):
        extra = View()
        short = store.watch(KeyRange.prefix(prefix), extra)
        until(lambda extra=extra: extra.listings)
        short.close()
    watches[0].close()
    run_etcdctl(etcd, "put", f"/{namespace}/key", "1")
    until(lambda: views[1].keys)
    assert views[0].keys == {}
    assert not views[1].is_stale
    assert store.trouble is None
    assert str(watches[0].refusal).endswith("is closed")
    assert watches[1].refusal is None
    assert caplog.records == []


def test_a_listener_that_fails_is_given_everything_anew(store, etcd, namespace, prefix, caplog):
    view = View()
    view.fails = 1
    store.watch(KeyRange.prefix(prefix), view)
    until(lambda: view.listings == 1)
    view.fails = 1
    run_etcdctl(etcd, "put", f"/{namespace}/key", "1")
    until(lambda: view.listings == 2)
    assert view.keys == {prefix + b"key": b"1"}
    assert caplog.text.count("failed and starts anew") == 2
    assert caplog.text.count("ValueError: a listener of ours has a fault") == 2


def test_a_watch_that_was_cut_off_while_etcd_compacted_lists_again(own_etcd):
    with Proxy(f"127.0.0.1:{own_etcd.port}") as proxy:
        store = EtcdStore(EtcdURL.parse(f"etcd://{proxy.address}"))
        try:
            view = View()
            store.watch(KeyRange.prefix(b"/k/"), view)
            run_etcdctl(own_etcd, "put", "/iris/store", "an id")
            run_etcdctl(own_etcd, "put", "/k/1", "one")
            until(lambda: view.keys)
            proxy.refuse()
            until(lambda: view.is_stale)
            run_etcdctl(own_etcd, "del", "/k/1")
            run_etcdctl(own_etcd, "put", "/k/2", "two")
            answer = json.loads(run_etcdctl(own_etcd, "put", "/elsewhere", "1", "--write-out=json"))
            run_etcdctl(own_etcd, "compact", str(answer["header"]["revision"]))
            assert view.keys == {b"/k/1": b"one"}
            proxy.accept()
            until(lambda: view.keys == {b"/k/2": b"two"})
            assert view.listings == 2
            until(lambda: not view.is_stale)
        finally:
            store.close()


def test_closing_ends_watches_and_refuses_what_follows(store, prefix):
    view = View()
    watch = store.watch(KeyRange.prefix(prefix), view)
    store.close()
    assert watch.refusal is not None
    for use in (
        lambda: store.put(LeasedKey(prefix + b"a", b"1")),
        lambda: store.read(KeyRange.prefix(prefix)),
        lambda: store.watch(KeyRange.prefix(prefix), view),
    ):
        with pytest.raises(RegistryError, match="is closed"):
            use()


def test_a_silent_etcd_delays_neither_the_end_of_a_watch_nor_the_end_of_all(own_etcd):
    before = set(threading.enumerate())
    store = EtcdStore(EtcdURL.parse(own_etcd.url))
    views = [View() for _ in range(3)]
    watches = [store.watch(KeyRange.prefix(b"/k/"), view) for view in views]
    store.put(LeasedKey(b"/k/1", b"one"))
    until(lambda: all(view.keys for view in views))
    own_etcd.pause()
    until(lambda: all(view.is_stale for view in views))
    clock = Stopwatch()
    watches[0].close()
    assert clock.seconds < 1
    store.close()
    assert clock.seconds < 2.5
    until(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(RegistryError):
        store.read(KeyRange.prefix(b"/k/"))


def test_a_forked_process_neither_uses_nor_ends_the_store(etcd, namespace):
    out = run_script(
        """
import sys
from iris_actor.etcd.key_range import KeyRange
from iris_actor.etcd.leased.key import LeasedKey
from iris_actor.etcd.store import EtcdStore
from iris_actor.etcd.url import EtcdURL
from tests.support.forking import in_child, refused

store = EtcdStore(EtcdURL.parse(sys.argv[1]))
leased = LeasedKey(b"/k/1", b"one")
store.put(leased)
print(
    refused(lambda: store.put(LeasedKey(b"/k/2", b"two"))),
    refused(lambda: store.read(KeyRange.prefix(b"/k/"))),
    refused(lambda: store.watch(KeyRange.prefix(b"/k/"), None)),
    in_child(lambda: store.remove(leased)),
    in_child(store.close),
    [kv.value for kv in store.read(KeyRange.key(b"/k/1"))],
)
store.close()
""",
        etcd_url(etcd, namespace),
    )
    assert out == "0 0 0 0 0 [b'one']\n"


def test_an_etcd_that_is_not_there_is_an_error_in_time():
    store = EtcdStore(EtcdURL.parse("etcd://127.0.0.1:1"))
    try:
        with pytest.raises(RegistryUnavailableError):
            store.put(LeasedKey(b"/k", b""), 0.3)
        with pytest.raises(RegistryUnavailableError):
            store.read(KeyRange.key(b"/k"), 0.3)
        assert store.trouble is not None
    finally:
        store.close()


# --- what they are given ----------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [b"", b"a\xff"])
def test_a_prefix_without_an_end_is_refused(prefix):
    with pytest.raises(ValueError, match="must not be empty, nor end in the byte 255"):
        KeyRange.prefix(prefix)


def test_a_range_shows_what_it_is():
    assert str(KeyRange.prefix(b"/iris/")) == "/iris/*"
    assert str(KeyRange.key(b"/iris/\xff")) == "/iris/\ufffd"


def test_the_url_of_an_etcd_is_no_other():
    assert EtcdURL.parse("etcd://h:1/team?ttl=3").prefix == "/team"
    with pytest.raises(InvalidURLError, match="unknown scheme 'memory'"):
        EtcdURL.parse("memory://")
