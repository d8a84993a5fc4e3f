"""What is in etcd, who may change it, and the lease that ends it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from iris_actor.errors import RegistryError, RegistryUnavailableError
from iris_actor.etcd.watch.pulse import WatchPulse
from iris_actor.registry import RegistrationState, connect_registry
from tests.registry.conftest import etcd_url, keys, leases, run_etcdctl
from tests.support.processes import run_script
from tests.support.waiting import Stopwatch, until


@pytest.fixture
def registry(etcd, namespace):
    with connect_registry(etcd_url(etcd, namespace, ttl=2)) as registry:
        yield registry


def test_a_person_can_read_it_with_etcdctl(etcd, registry, namespace, make_endpoint):
    endpoint = make_endpoint("rl/curriculum", host="gpu-1", pid=42, started_at=0.5, metadata={"größe": "7B"})
    registry.register(endpoint)
    [key] = keys(etcd, f"/{namespace}/endpoints/")
    assert key == f"/{namespace}/endpoints/{namespace}/rl/curriculum/{endpoint.actor_id}"
    text = run_etcdctl(etcd, "get", "--print-value-only", key)
    assert json.loads(text) == {
        "address": "127.0.0.1:4711",
        "actor_id": endpoint.actor_id,
        "job_id": "",
        "host": "gpu-1",
        "pid": 42,
        "incarnation": "",
        "started": "1970-01-01T00:00:00+00:00",
        "started_at": 0.5,
        "metadata": {"größe": "7B"},
    }
    assert "größe" in text


def test_keys_are_below_iris_by_default(own_etcd, make_endpoint):
    endpoint = make_endpoint()
    with connect_registry(own_etcd.url) as registry:
        registry.register(endpoint)
        assert keys(own_etcd, "/") == [f"/iris/endpoints/{endpoint.name}/{endpoint.actor_id}", "/iris/store"]


def test_a_process_has_one_lease_which_the_last_close_revokes(own_etcd, make_endpoint):
    with ExitStack() as stack:
        for text in (own_etcd.url, f"{own_etcd.url}/", f"{own_etcd.url}?ttl=10"):
            registry = stack.enter_context(connect_registry(text))
            registry.register(make_endpoint())
        assert len(leases(own_etcd)) == 1
        assert len(keys(own_etcd, "/iris/endpoints/")) == 3
    assert leases(own_etcd) == []
    assert keys(own_etcd, "/iris/endpoints/") == []


def test_who_only_looks_needs_no_lease(own_etcd, namespace):
    with connect_registry(own_etcd.url) as registry:
        assert registry.directory(namespace).wait_synced(10)
        assert registry.list() == []
        assert leases(own_etcd) == []


def test_an_exit_without_close_revokes_the_lease(own_etcd):
    run_script(
        """
import sys
from iris_actor.registry import ActorId, Endpoint, connect_registry
registry = connect_registry(sys.argv[1])
registry.register(Endpoint("ns/a", ActorId("1"), "127.0.0.1:1"))
registry.directory("ns").wait_synced(5)
""",
        own_etcd.url,
    )
    assert leases(own_etcd) == []


def test_a_program_may_end_at_the_moment_at_which_a_watch_begins(own_etcd):
    for _ in range(8):
        run_script(
            """
import sys
from iris_actor.registry import connect_registry
connect_registry(sys.argv[1]).directory("ns").wait_synced(5)
""",
            own_etcd.url,
        )


def test_a_connection_that_can_start_no_thread_for_a_stream_is_replaced_and_closes(own_etcd):
    run_script(
        """
import sys, threading
from iris_actor.errors import RegistryUnavailableError
from iris_actor.etcd.connection.etcd_connection import EtcdConnection
from iris_actor.etcd.stubs import etcdrpc
from iris_actor.etcd.connection.reachability import Reachability
from iris_actor.etcd.url import EtcdURL

def begin(client):
    request = etcdrpc.WatchRequest(create_request=etcdrpc.WatchCreateRequest(key=b"k"))
    return connection.begin(client, lambda: etcdrpc.WatchStub(client.channel).Watch(iter([request])))

url = EtcdURL.parse(sys.argv[1])
connection = EtcdConnection(url, Reachability(str(url)))
usual = threading.stack_size(1 << 50)  # no machine has as much
for _ in range(2):
    try:
        with connection.stream("watching") as client:
            begin(client)
    except RegistryUnavailableError as error:
        assert "new thread" in str(error)
    else:
        raise AssertionError("it had memory for a thread")
threading.stack_size(usual)
with connection.stream("watching") as client:
    call = begin(client)
    assert next(call).created
    call.cancel()
connection.close()
del client, call, connection
""",
        own_etcd.url,
    )


def test_what_a_killed_process_announced_ends_with_its_lease(own_etcd):
    run_script(
        """
import os, sys
from iris_actor.registry import ActorId, Endpoint, connect_registry
registry = connect_registry(sys.argv[1] + "?ttl=1")
registry.register(Endpoint("ns/a", ActorId("1"), "127.0.0.1:1"))
os._exit(0)
""",
        own_etcd.url,
    )
    with connect_registry(own_etcd.url) as registry:
        directory = registry.directory("ns")
        assert directory.wait_synced(10)
        until(lambda: directory.endpoints("ns/a") == ())
        assert registry.list() == []


def test_the_lease_is_kept_alive_beyond_its_ttl(own_etcd, make_endpoint):
    with connect_registry(f"{own_etcd.url}?ttl=1") as registry:
        registration = registry.register(make_endpoint())
        [lease] = leases(own_etcd)
        clock = Stopwatch()
        until(lambda: clock.seconds > 1.8)
        assert leases(own_etcd) == [lease]
        assert registration.state is RegistrationState.STANDS
        assert len(registry.list()) == 1


def test_a_key_that_another_took_over_is_not_removed(etcd, registry, make_endpoint):
    registration = registry.register(make_endpoint())
    [key] = keys(etcd, registry_prefix(registry))
    run_etcdctl(etcd, "put", key, run_etcdctl(etcd, "get", "--print-value-only", key).strip())
    registration.close()
    assert registration.state is RegistrationState.CLOSED
    assert keys(etcd, registry_prefix(registry)) == [key]
    run_etcdctl(etcd, "del", key)


def test_a_key_that_another_took_over_is_not_put_back(etcd, registry, make_endpoint):
    lost, kept = registry.register(make_endpoint()), registry.register(make_endpoint())
    key = next(key for key in keys(etcd, registry_prefix(registry)) if key.endswith(lost.endpoint.actor_id))
    foreign = json.dumps({"address": "10.0.0.1:1"})
    foreign_endpoint = replace(lost.endpoint, address="10.0.0.1:1")
    lease = run_etcdctl(etcd, "get", "--write-out=json", key)
    lease = f"{json.loads(lease)['kvs'][0]['lease']:x}"
    run_etcdctl(etcd, "put", key, foreign)
    run_etcdctl(etcd, "lease", "revoke", lease)
    until(lambda: lost.state is RegistrationState.LOST)
    until(
        lambda: (
            kept.state is RegistrationState.STANDS and registry.list() == [foreign_endpoint, kept.endpoint]
        )
    )
    assert lost.state is RegistrationState.LOST
    assert run_etcdctl(etcd, "get", "--print-value-only", key).strip() == foreign
    lost.close()
    assert run_etcdctl(etcd, "get", "--print-value-only", key).strip() == foreign
    run_etcdctl(etcd, "del", key)


def test_it_is_put_back_when_the_other_lets_it_go(etcd, registry, make_endpoint):
    registration = registry.register(make_endpoint())
    [key] = keys(etcd, registry_prefix(registry))
    lease = json.loads(run_etcdctl(etcd, "get", "--write-out=json", key))["kvs"][0]["lease"]
    run_etcdctl(etcd, "put", key, "{}")
    run_etcdctl(etcd, "lease", "revoke", f"{lease:x}")
    until(lambda: registration.state is RegistrationState.LOST)
    run_etcdctl(etcd, "del", key)
    until(lambda: registration.state is RegistrationState.STANDS)
    assert registry.list() == [registration.endpoint]


def test_a_lease_that_is_revoked_behind_our_back_is_replaced(etcd, registry, namespace, make_endpoint):
    directory = registry.directory(namespace)
    gone = threading.Event()
    directory.subscribe(lambda _names: directory.names() == [] and gone.set())
    registrations = [registry.register(make_endpoint()) for _ in range(3)]
    name = registrations[0].endpoint.name
    until(lambda: len(directory.endpoints(name)) == 3)
    [key, *_] = keys(etcd, registry_prefix(registry))
    lease = json.loads(run_etcdctl(etcd, "get", "--write-out=json", key))["kvs"][0]["lease"]
    run_etcdctl(etcd, "lease", "revoke", f"{lease:x}")
    assert gone.wait(10)
    until(lambda: len(directory.endpoints(name)) == 3)
    until(lambda: {registration.state for registration in registrations} == {RegistrationState.STANDS})
    assert len(registry.list()) == 3


def test_a_key_that_somebody_deletes_is_put_back(etcd, registry, namespace, make_endpoint):
    directory = registry.directory(namespace)
    registrations = [registry.register(make_endpoint()) for _ in range(2)]
    name = registrations[0].endpoint.name
    until(lambda: len(directory.endpoints(name)) == 2)
    gone = threading.Event()
    directory.subscribe(lambda _names: directory.endpoints(name) == () and gone.set())
    run_etcdctl(etcd, "del", "--prefix", registry_prefix(registry))
    assert gone.wait(10)
    until(lambda: len(directory.endpoints(name)) == 2)
    until(lambda: {registration.state for registration in registrations} == {RegistrationState.STANDS})


@pytest.mark.parametrize("value", ["", "no json", "[]", "{}", '{"address": "a:1", "pid": "x"}'])
def test_what_is_no_endpoint_is_passed_over(etcd, registry, namespace, make_endpoint, value):
    directory = registry.directory(namespace)
    assert directory.wait_synced(10)
    run_etcdctl(etcd, "put", f"{registry_prefix(registry)}/{namespace}/actor/bad", value)
    endpoint = make_endpoint()
    registry.register(endpoint)
    assert until(lambda: directory.endpoints(endpoint.name)) == (endpoint,)
    assert registry.list() == [endpoint]
    run_etcdctl(etcd, "del", f"{registry_prefix(registry)}/{namespace}/actor/bad")


def test_an_etcd_that_is_not_there_is_an_error_in_time(make_endpoint):
    with connect_registry("etcd://127.0.0.1:1") as registry:
        clock = Stopwatch()
        with pytest.raises(RegistryUnavailableError) as caught:
            registry.register(make_endpoint(), timeout=0.5)
        with pytest.raises(RegistryUnavailableError):
            registry.list(timeout=0.5)
        assert clock.seconds < 3
        assert caught.value.__cause__ is None, "gRPC's words are in the message, its class says nothing"
        assert "nothing listens at 127.0.0.1:1" in caught.value.reason
        assert caught.value.since is not None
        assert caught.value.url == "etcd://127.0.0.1:1"
        directory = registry.directory("ns")
        assert not directory.wait_synced(0.2)
        assert directory.stale


def test_thousands_of_endpoints_are_listed_and_watched(own_etcd, namespace, make_endpoint):
    with connect_registry(own_etcd.url) as writer:
        batch = [make_endpoint(f"actor-{number % 100}", actor_id=f"{number:05}") for number in range(2_500)]
        threads = [
            threading.Thread(target=lambda part=part: [writer.register(endpoint) for endpoint in part])
            for part in (batch[:1_250], batch[1_250:])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # More than a page of the listing.
        late = writer.directory(namespace)
        assert late.wait_synced(20)
        assert sum(len(late.endpoints(name)) for name in late.names()) == 2_500
        assert len(writer.list(timeout=20)) == 2_500


def test_what_etcd_refuses_does_not_keep_others_out(registry, make_endpoint):
    large = make_endpoint(metadata={"text": "x" * 3_000_000})
    others = [make_endpoint() for _ in range(20)]
    failures = []

    def register(endpoint):
        try:
            registry.register(endpoint, timeout=10)
        except RegistryError as error:
            failures.append((endpoint, error))

    threads = [threading.Thread(target=register, args=(endpoint,)) for endpoint in (*others, large)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [endpoint for endpoint, _ in failures] == [large]
    assert not isinstance(failures[0][1], RegistryUnavailableError)
    assert {endpoint.actor_id for endpoint in registry.list()} == {endpoint.actor_id for endpoint in others}


def test_closing_lets_go_whoever_waits_for_a_listing():
    registry = connect_registry("etcd://127.0.0.1:1")
    directory = registry.directory("ns")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(directory.wait_synced()))
    thread.start()
    registry.close()
    thread.join(10)
    assert seen == [False]


def test_closing_refuses_whoever_waits(make_endpoint):
    registry = connect_registry("etcd://127.0.0.1:1")
    seen: list[BaseException] = []
    waiting = threading.Event()

    def wait():
        waiting.set()
        try:
            registry.register(make_endpoint(), timeout=30)
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(10)
    registry.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [type(error) for error in seen] == [RegistryError]


def registry_prefix(registry):
    """What the keys of its endpoints begin with."""
    return f"/{registry.url.rpartition('/')[2].partition('?')[0]}/endpoints"


def test_closing_a_registry_waits_for_the_threads_of_grpc(etcd, namespace, make_endpoint, monkeypatch):
    # The interpreter may end next. It would stop them wherever they are, also with a lock in their hands.
    attach = WatchPulse.attach

    def attach_slowly(pulse, call):
        attach(pulse, call)
        call.add_done_callback(lambda _: time.sleep(0.2))

    monkeypatch.setattr(WatchPulse, "attach", attach_slowly)
    before = set(threading.enumerate())
    with connect_registry(etcd_url(etcd, namespace)) as registry:
        directory = registry.directory(namespace)
        assert directory.wait_synced(10)
        endpoint = make_endpoint()
        registry.register(endpoint)
        until(lambda: directory.endpoints(endpoint.name) == (endpoint,))
    assert set(threading.enumerate()) <= before
