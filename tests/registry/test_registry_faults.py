"""Real faults: an etcd that dies, forgets, falls silent or is cut off."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from iris_actor.errors import RegistryUnavailableError
from iris_actor.registry import RegistrationState, connect_registry
from iris_actor.testing import EtcdProcess
from tests.registry.conftest import keys, leases, run_etcdctl
from tests.support.proxy import Proxy
from tests.support.waiting import Stopwatch, until

STANDS, LOST = RegistrationState.STANDS, RegistrationState.LOST


class Drops:
    """Notes whether a directory ever had fewer endpoints of a name than it should."""

    def __init__(self, directory, name, count):
        self.seen = []
        self._look = lambda _names: self.seen.append(len(directory.endpoints(name)))
        self._count = count
        directory.subscribe(self._look)

    @property
    def any(self):
        return any(count < self._count for count in self.seen)


@pytest.fixture
def setting(own_etcd, namespace, make_endpoint):
    """A registry with a lease of 1 s, a registration in it, and a directory that shows it."""
    with connect_registry(f"{own_etcd.url}?ttl=1") as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        until(lambda: directory.endpoints(registration.endpoint.name))
        yield registry, registration, directory


def test_a_killed_etcd_that_comes_back_with_its_data_is_taken_up_again(own_etcd, setting, make_endpoint):
    registry, registration, directory = setting
    name = registration.endpoint.name
    drops = Drops(directory, name, 1)
    own_etcd.kill()
    until(lambda: directory.stale)
    assert directory.endpoints(name) == (registration.endpoint,)
    until(lambda: registration.state is LOST)
    own_etcd.start()
    until(lambda: registration.state is STANDS)
    late = make_endpoint()
    registry.register(late, timeout=10)
    until(lambda: late in directory.endpoints(name))
    assert not directory.stale
    assert not drops.any


def test_a_restart_does_not_list_what_a_watch_can_tell(own_etcd, namespace, make_endpoint):
    with connect_registry(own_etcd.url) as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        before = until(lambda: directory.endpoints(registration.endpoint.name))
        own_etcd.kill()
        until(lambda: directory.stale)
        own_etcd.start()
        until(lambda: not directory.stale)
        assert directory.endpoints(registration.endpoint.name) is before


def test_an_etcd_that_lost_its_data_gets_the_registrations_back(own_etcd, setting):
    registry, registration, directory = setting
    own_etcd.restart(wipe=True)
    until(lambda: registry.list(timeout=10) == [registration.endpoint])
    until(lambda: registration.state is STANDS)
    until(lambda: directory.endpoints(registration.endpoint.name) == (registration.endpoint,))
    until(lambda: not directory.stale)


@pytest.mark.parametrize("writes", [0, 12], ids=["at a lower revision", "at a higher revision"])
def test_endpoints_of_a_wiped_etcd_do_not_stay_for_ever(own_etcd, namespace, make_endpoint, writes):
    # Another process, which is gone when etcd comes back, had registered here.
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(f"127.0.0.1:{own_etcd.port}"))
        watcher = stack.enter_context(connect_registry(f"etcd://{proxy.address}"))
        directory = watcher.directory(namespace)
        with connect_registry(own_etcd.url) as other:
            gone = other.register(make_endpoint())
            until(lambda: directory.endpoints(gone.endpoint.name))
            proxy.refuse()
            until(lambda: directory.stale)
            own_etcd.kill()
        own_etcd.restart(wipe=True)
        with connect_registry(own_etcd.url) as other:
            there = other.register(make_endpoint())
            for number in range(writes):
                run_etcdctl(own_etcd, "put", "/elsewhere", str(number))
            assert directory.endpoints(gone.endpoint.name) == (gone.endpoint,)
            proxy.accept()
            until(lambda: directory.endpoints(gone.endpoint.name) == (there.endpoint,))
            revision = directory.revision
            third = other.register(make_endpoint())
            until(lambda: third.endpoint in directory.endpoints(gone.endpoint.name))
            assert directory.revision > revision


def test_a_silent_etcd_drops_nothing_and_gets_the_registrations_back(own_etcd, setting):
    registry, registration, directory = setting
    name = registration.endpoint.name
    drops = Drops(directory, name, 1)
    own_etcd.pause()
    until(lambda: registration.state is LOST)
    until(lambda: directory.stale)
    assert directory.endpoints(name) == (registration.endpoint,)
    assert drops.seen == []
    own_etcd.resume()
    until(lambda: registration.state is STANDS)
    until(lambda: not directory.stale)
    until(lambda: registry.list(timeout=10) == [registration.endpoint])
    until(lambda: directory.endpoints(name) == (registration.endpoint,))


def test_a_compaction_while_the_watch_is_cut_off_leads_to_a_listing(own_etcd, namespace, make_endpoint):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(f"127.0.0.1:{own_etcd.port}"))
        writer = stack.enter_context(connect_registry(own_etcd.url))
        watcher = stack.enter_context(connect_registry(f"etcd://{proxy.address}"))
        directory = watcher.directory(namespace)
        gone, kept = writer.register(make_endpoint("gone")), writer.register(make_endpoint("kept"))
        until(lambda: len(directory.names()) == 2)
        kept_before = directory.endpoints(kept.endpoint.name)
        heard: set[str] = set()
        directory.subscribe(heard.update)
        proxy.refuse()
        until(lambda: directory.stale)
        gone.close()
        new = writer.register(make_endpoint("new"))
        revision = run_etcdctl(own_etcd, "put", "/elsewhere", "1", "--write-out=json")
        revision = revision.partition('"revision":')[2].partition(",")[0]
        run_etcdctl(own_etcd, "compact", revision)
        proxy.accept()
        until(lambda: directory.names() == [kept.endpoint.name, new.endpoint.name])
        until(lambda: not directory.stale)
        assert heard == {gone.endpoint.name, new.endpoint.name}
        assert directory.endpoints(kept.endpoint.name) is kept_before


def test_changes_during_a_break_are_told_afterwards(own_etcd, namespace, make_endpoint):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(f"127.0.0.1:{own_etcd.port}"))
        writer = stack.enter_context(connect_registry(own_etcd.url))
        watcher = stack.enter_context(connect_registry(f"etcd://{proxy.address}"))
        directory = watcher.directory(namespace)
        first = writer.register(make_endpoint())
        name = first.endpoint.name
        until(lambda: directory.endpoints(name))
        for _ in range(3):
            proxy.cut()
            first.close()
            first = writer.register(make_endpoint())
            until(lambda first=first: directory.endpoints(name) == (first.endpoint,))
        assert directory.names() == [name]


def test_a_connection_that_is_half_open_is_found_out(own_etcd, namespace, make_endpoint):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(f"127.0.0.1:{own_etcd.port}"))
        writer = stack.enter_context(connect_registry(own_etcd.url))
        watcher = stack.enter_context(connect_registry(f"etcd://{proxy.address},127.0.0.1:{own_etcd.port}"))
        directory = watcher.directory(namespace)
        first = writer.register(make_endpoint())
        until(lambda: directory.endpoints(first.endpoint.name))
        proxy.stall()
        second = writer.register(make_endpoint())
        # Over the other endpoint, once the stalled one is given up.
        until(lambda: second.endpoint in directory.endpoints(first.endpoint.name))
        assert first.endpoint in directory.endpoints(first.endpoint.name)


def test_a_registration_through_a_network_that_stalls_is_put_back(own_etcd, make_endpoint):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(f"127.0.0.1:{own_etcd.port}"))
        registry = stack.enter_context(connect_registry(f"etcd://{proxy.address}?ttl=1"))
        registration = registry.register(make_endpoint())
        proxy.stall()
        until(lambda: leases(own_etcd) == [])
        until(lambda: registration.state is LOST)
        proxy.resume()
        until(lambda: registration.state is STANDS)
        assert registry.list(timeout=10) == [registration.endpoint]


def test_what_could_not_be_registered_in_time_is_not_there_later(own_etcd, setting, make_endpoint):
    registry, registration, _ = setting
    own_etcd.pause()
    clock = Stopwatch()
    with pytest.raises(RegistryUnavailableError):
        registry.register(make_endpoint(), timeout=0.3)
    assert clock.seconds < 2
    own_etcd.resume()
    until(lambda: registration.state is STANDS)
    another = registry.register(make_endpoint(), timeout=10)
    until(
        lambda: (
            {endpoint.actor_id for endpoint in registry.list(timeout=10)}
            == {registration.endpoint.actor_id, another.endpoint.actor_id}
        )
    )


def test_what_was_withdrawn_during_silence_is_removed_afterwards(own_etcd, setting, make_endpoint):
    registry, registration, directory = setting
    kept = registry.register(make_endpoint())
    own_etcd.pause()
    clock = Stopwatch()
    registration.close()
    assert clock.seconds < 1
    assert registration.state is RegistrationState.CLOSED
    own_etcd.resume()
    until(lambda: directory.endpoints(kept.endpoint.name) == (kept.endpoint,))
    until(lambda: registry.list(timeout=10) == [kept.endpoint])


@pytest.mark.parametrize("fault", ["paused", "killed"])
def test_closing_is_prompt_when_etcd_does_not_answer(own_etcd, namespace, make_endpoint, fault):
    before = set(threading.enumerate())
    registry = connect_registry(f"{own_etcd.url}?ttl=3")
    directory = registry.directory(namespace)
    registrations = [registry.register(make_endpoint()) for _ in range(5)]
    assert directory.wait_synced(10)
    if fault == "paused":
        own_etcd.pause()
    else:
        own_etcd.kill()
    clock = Stopwatch()
    for registration in registrations:
        registration.close()
    directory.close()
    registry.close()
    assert clock.seconds < 2
    until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("fault", ["paused", "killed"])
def test_a_registry_alone_closes_within_a_second(own_etcd, namespace, make_endpoint, fault):
    registry = connect_registry(f"{own_etcd.url}?ttl=3")
    directory = registry.directory(namespace)
    registry.register(make_endpoint())
    assert directory.wait_synced(10)
    if fault == "paused":
        own_etcd.pause()
    else:
        own_etcd.kill()
    clock = Stopwatch()
    registry.close()
    assert clock.seconds < 1


def test_an_etcd_that_comes_late_is_found(namespace, make_endpoint):
    with ExitStack() as stack:
        late = EtcdProcess()
        stack.callback(late.stop)
        registry = stack.enter_context(connect_registry(late.url))
        directory = registry.directory(namespace)
        assert not directory.wait_synced(0.3)
        late.start()
        assert directory.wait_synced(10)
        assert registry.register(make_endpoint(), timeout=10).state is STANDS


def test_another_etcd_behind_the_second_address_takes_over(namespace, make_endpoint):
    with ExitStack() as stack:
        first, second = stack.enter_context(EtcdProcess()), stack.enter_context(EtcdProcess())
        registry = stack.enter_context(
            connect_registry(f"etcd://127.0.0.1:{first.port},127.0.0.1:{second.port}?ttl=1")
        )
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        name = registration.endpoint.name
        until(lambda: directory.endpoints(name))
        assert keys(second, "/") == []
        first.kill()
        until(lambda: len(keys(second, "/iris/endpoints/")) == 1)
        until(lambda: registration.state is STANDS)
        until(lambda: directory.endpoints(name) == (registration.endpoint,) and not directory.stale)
        assert registry.list(timeout=10) == [registration.endpoint]


def test_an_endpoint_that_is_down_from_the_start_is_passed_over(own_etcd, namespace, make_endpoint):
    with connect_registry(f"etcd://127.0.0.1:1,127.0.0.1:{own_etcd.port}") as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint())
        assert until(lambda: directory.endpoints(registration.endpoint.name)) == (registration.endpoint,)


@pytest.fixture
def cluster():
    """Three members of one etcd."""
    with ExitStack() as stack:
        members = [EtcdProcess(options={"name": f"m{number}"}) for number in range(3)]
        together = ",".join(f"m{number}={member.peer_url}" for number, member in enumerate(members))
        for member in members:
            stack.callback(member.stop)
        for member in members[:-1]:
            member.start(wait=False, options={"initial-cluster": together})
        members[-1].start(options={"initial-cluster": together})
        yield members


@pytest.mark.parametrize("fault", ["killed", "paused"])
def test_a_cluster_serves_on_without_one_member(cluster, namespace, make_endpoint, fault):
    hosts = ",".join(f"127.0.0.1:{member.port}" for member in cluster)
    with connect_registry(f"etcd://{hosts}?ttl=5") as registry:
        directory = registry.directory(namespace)
        registration = registry.register(make_endpoint(), timeout=10)
        name = registration.endpoint.name
        until(lambda: directory.endpoints(name))
        drops = Drops(directory, name, 1)
        if fault == "killed":
            cluster[0].kill()
        else:
            cluster[0].pause()
        another = registry.register(make_endpoint(), timeout=10)
        until(lambda: directory.endpoints(name) == (registration.endpoint, another.endpoint))
        assert not drops.any
        assert registration.state is STANDS
