"""What every registry does, in memory and in etcd."""

from __future__ import annotations

import threading

import pytest

from iris_actor.errors import InvalidNameError, RegistryError
from iris_actor.registry import ActorId, Endpoint, RegistrationState, connect_registry
from tests.support.processes import run_script
from tests.support.waiting import until


@pytest.fixture
def directory(registry, namespace):
    with_close = registry.directory(namespace)
    assert with_close.wait_synced(10)
    yield with_close
    with_close.close()


def test_what_is_registered_is_found_and_listed_whole(registry, directory, make_endpoint):
    endpoint = make_endpoint(
        "rl/curriculum",
        job_id="abc123/worker-0",
        host="näyte",
        pid=4,
        incarnation="one",
        started_at=1764000000.123456,
        metadata={"größe": "7 B", "empty": ""},
    )
    registration = registry.register(endpoint)
    assert registration.state is RegistrationState.STANDS
    assert registration.endpoint == endpoint
    assert registry.list() == [endpoint]
    assert until(lambda: directory.endpoints(endpoint.name)) == (endpoint,)


def test_a_directory_that_is_opened_later_lists_what_is_there(registry, namespace, make_endpoint):
    endpoint = make_endpoint()
    registry.register(endpoint)
    later = registry.directory(namespace)
    assert later.wait_synced(10)
    assert later.endpoints(endpoint.name) == (endpoint,)
    assert not later.stale


def test_names_are_told_over_all_namespaces_and_below_a_prefix(registry, directory, make_endpoint, namespace):
    for endpoint in (make_endpoint("b"), make_endpoint("a"), make_endpoint("a")):
        registry.register(endpoint)
    registry.register(Endpoint("elsewhere/a", ActorId("x"), "127.0.0.1:1"))
    assert registry.names() == ["elsewhere/a", f"{namespace}/a", f"{namespace}/b"]
    assert registry.names(f"{namespace}/b") == [f"{namespace}/b"]
    assert registry.names("nothing/") == []
    assert directory.wait_synced(10)
    assert directory.listed
    assert directory.trouble is None


def test_an_unknown_name_has_no_endpoints(directory, namespace):
    assert directory.endpoints(f"{namespace}/nobody") == ()
    assert directory.names() == []


def test_endpoints_come_in_order_of_registration(registry, directory, make_endpoint):
    endpoints = [make_endpoint(actor_id=f"id-{key}") for key in ("m", "a", "z", "b")]
    for endpoint in endpoints:
        registry.register(endpoint)
    until(lambda: len(directory.endpoints(endpoints[0].name)) == 4)
    assert list(directory.endpoints(endpoints[0].name)) == endpoints
    assert registry.list() == endpoints
    again = registry.directory(endpoints[0].namespace)
    assert again.wait_synced(10)
    assert list(again.endpoints(endpoints[0].name)) == endpoints


def test_the_same_tuple_comes_until_it_changes(registry, directory, make_endpoint):
    first = make_endpoint("one")
    registry.register(first)
    before = until(lambda: directory.endpoints(first.name))
    registry.register(make_endpoint("other"))
    until(lambda: len(directory.names()) == 2)
    assert directory.endpoints(first.name) is before
    registry.register(make_endpoint("one"))
    until(lambda: len(directory.endpoints(first.name)) == 2)
    assert directory.endpoints(first.name) is not before


def test_revisions_grow_with_changes(registry, directory, make_endpoint):
    seen = [directory.revision]
    for count in range(1, 4):
        registry.register(make_endpoint())
        until(lambda count=count: len(registry.list()) == count and directory.revision > seen[-1])
        seen.append(directory.revision)
    assert seen == sorted(set(seen))


def test_names_are_sorted_and_filtered_by_prefix(registry, directory, namespace, make_endpoint):
    for name in ("b", "a/two", "a/one", "ab"):
        registry.register(make_endpoint(name))
    until(lambda: len(directory.names()) == 4)
    assert directory.names() == [f"{namespace}/{name}" for name in ("a/one", "a/two", "ab", "b")]
    assert directory.names(f"{namespace}/a/") == [f"{namespace}/a/one", f"{namespace}/a/two"]
    assert [endpoint.name for endpoint in registry.list(f"{namespace}/a/")] == [
        f"{namespace}/a/two",
        f"{namespace}/a/one",
    ]


def test_namespaces_do_not_see_each_other(registry, directory, namespace, make_endpoint):
    registry.register(make_endpoint())
    with connect_registry(registry.url) as other:
        # A name that begins with this one's.
        neighbour = other.directory(f"{namespace}-b")
        assert neighbour.wait_synced(10)
        until(directory.names)
        assert neighbour.names() == []


def test_a_closed_registration_is_gone_and_stays_closed(registry, directory, make_endpoint):
    kept, closed = make_endpoint(), make_endpoint()
    registrations = [registry.register(endpoint) for endpoint in (kept, closed)]
    until(lambda: len(directory.endpoints(kept.name)) == 2)
    registrations[1].close()
    registrations[1].close()
    assert registrations[1].state is RegistrationState.CLOSED
    assert registrations[0].state is RegistrationState.STANDS
    assert registry.list() == [kept]
    until(lambda: directory.endpoints(kept.name) == (kept,))


def test_an_actor_id_is_registered_only_once(registry, make_endpoint):
    endpoint = make_endpoint()
    first = registry.register(endpoint)
    with pytest.raises(RegistryError, match="taken"):
        registry.register(endpoint)
    assert first.state is RegistrationState.STANDS
    assert registry.list() == [endpoint]
    first.close()
    assert registry.register(endpoint).state is RegistrationState.STANDS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "only-one-segment"),
        ("name", "a/b c"),
        ("name", "a//b"),
        ("actor_id", "a/b"),
        ("actor_id", ""),
    ],
)
def test_what_breaks_the_naming_rule_is_refused(registry, make_endpoint, field, value):
    endpoint = make_endpoint()
    fields = {"name": endpoint.name, "actor_id": endpoint.actor_id, "address": endpoint.address, field: value}
    with pytest.raises(InvalidNameError):
        registry.register(type(endpoint)(**fields))
    assert registry.list() == []


def test_a_bad_namespace_is_refused(registry):
    with pytest.raises(InvalidNameError):
        registry.directory("a/b")


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_bad_timeout_is_refused(registry, make_endpoint, timeout):
    with pytest.raises(ValueError, match="timeout"):
        registry.register(make_endpoint(), timeout)
    with pytest.raises(ValueError, match="timeout"):
        registry.list(timeout=timeout)


def test_subscribers_hear_which_names_changed(registry, directory, make_endpoint):
    heard: list[frozenset[str]] = []
    threads = set()

    def on_change(names):
        heard.append(names)
        threads.add(threading.current_thread())

    directory.subscribe(on_change)
    one, other = make_endpoint("one"), make_endpoint("other")
    registration = registry.register(one)
    registry.register(other)
    until(lambda: {one.name, other.name} <= frozenset().union(*heard))
    heard.clear()
    registration.close()
    until(lambda: heard)
    assert heard == [frozenset({one.name})]
    assert threading.current_thread() not in threads


def test_subscribers_hear_at_which_addresses_nothing_is_announced_any_more(
    registry, directory, make_endpoint
):
    heard: list[frozenset[str]] = []
    directory.subscribe(lambda _names: None, heard.append)
    here, there = "127.0.0.1:1", "127.0.0.1:2"
    first, second, third = (
        registry.register(make_endpoint(name, address=address))
        for name, address in (("one", here), ("two", here), ("one", there))
    )
    until(lambda: directory.announces(here) and directory.announces(there))
    first.close()  # another endpoint is still there
    third.close()
    until(lambda: heard)
    assert heard == [frozenset({there})]
    assert directory.announces(here)
    assert not directory.announces(there)
    second.close()
    until(lambda: len(heard) == 2)
    assert heard[1] == frozenset({here})
    assert not directory.announces(here)


def test_a_subscriber_that_fails_disturbs_no_other(registry, directory, make_endpoint):
    heard = threading.Event()
    directory.subscribe(lambda _names: 1 / 0)
    directory.subscribe(lambda _names: heard.set())
    registry.register(make_endpoint())
    assert heard.wait(10)


def test_a_subscription_ends_by_itself_or_with_its_handle(registry, directory, namespace, make_endpoint):
    heard: list[str] = []
    kept = threading.Event()
    end = directory.subscribe(lambda _names: heard.append("ended"))
    handle = registry.directory(namespace)
    handle.subscribe(lambda _names: heard.append("closed"))
    directory.subscribe(lambda _names: kept.set())
    end()
    end()
    handle.close()
    handle.close()
    registry.register(make_endpoint())
    assert kept.wait(10)
    assert heard == []


def test_a_subscriber_may_close_what_calls_it(registry, namespace, make_endpoint):
    closed = threading.Event()
    directory = registry.directory(namespace)
    assert directory.wait_synced(10)

    def on_change(_names):
        directory.close()
        closed.set()

    directory.subscribe(on_change)
    registry.register(make_endpoint())
    assert closed.wait(10)
    assert directory.stale


def test_a_closed_handle_withdraws_its_own_registrations_only(url, make_endpoint):
    with connect_registry(url) as kept:
        mine, others = make_endpoint(), make_endpoint()
        kept.register(mine)
        with connect_registry(url) as passing:
            registration = passing.register(others)
            assert kept.list() == [mine, others]
        assert registration.state is RegistrationState.CLOSED
        assert kept.list() == [mine]


def test_the_last_handle_to_close_withdraws_everything(url, make_endpoint):
    first = connect_registry(url)
    second = connect_registry(url)
    registration = second.register(make_endpoint())
    second.close()
    registration_of_first = first.register(make_endpoint())
    first.close()
    assert registration.state is RegistrationState.CLOSED
    assert registration_of_first.state is RegistrationState.CLOSED
    with connect_registry(url) as fresh:
        assert fresh.list() == []


def test_closing_twice_gives_back_one_hold(url, make_endpoint):
    with connect_registry(url) as kept:
        passing = connect_registry(url)
        passing.close()
        passing.close()
        kept.register(make_endpoint())
        assert len(kept.list()) == 1


def test_a_registry_given_instead_of_a_url_stays_open(registry, make_endpoint):
    with connect_registry(registry) as lent:
        lent.register(make_endpoint())
        assert lent.url == registry.url
        assert len(registry.list()) == 1
    assert registry.list() == []
    registry.register(make_endpoint())
    assert len(registry.list()) == 1


def test_a_closed_registry_says_so(url, namespace, make_endpoint):
    registry = connect_registry(url)
    registry.close()
    with pytest.raises(RegistryError, match="closed"):
        registry.register(make_endpoint())
    with pytest.raises(RegistryError, match="closed"):
        registry.list()
    with pytest.raises(RegistryError, match="closed"):
        registry.directory(namespace)
    with pytest.raises(RegistryError, match="closed"):
        connect_registry(registry)


def test_a_directory_outlives_its_registry_as_a_stale_picture(url, namespace, make_endpoint):
    registry = connect_registry(url)
    directory = registry.directory(namespace)
    assert directory.wait_synced(10)
    registry.close()
    assert directory.stale
    assert directory.endpoints(f"{namespace}/actor") == ()


def test_many_threads_register_and_withdraw_at_once(registry, directory, make_endpoint):
    failures = []

    def work():
        try:
            for _ in range(10):
                registration = registry.register(make_endpoint("busy"))
                registry.register(make_endpoint("kept"))
                registration.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    kept, busy = make_endpoint("kept").name, make_endpoint("busy").name
    assert len(registry.list()) == 80
    until(lambda: len(directory.endpoints(kept)) == 80 and directory.endpoints(busy) == ())


def test_use_after_a_fork_is_refused(url):
    seen = run_script(
        """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from iris_actor.errors import ForkedProcessError
from iris_actor.registry import ActorId, Endpoint, connect_registry

registry = connect_registry(sys.argv[1])
directory = registry.directory("forking")
endpoint = Endpoint("forking/a", ActorId("1"), "127.0.0.1:1")
registration = registry.register(endpoint)
assert directory.wait_synced(10)
parent = os.getpid()
child = os.fork()
if child == 0:
    for use in (
        lambda: registry.list(),
        lambda: registry.register(endpoint),
        lambda: registry.directory("forking"),
        lambda: directory.endpoints("forking/a"),
        lambda: connect_registry(registry),
    ):
        try:
            use()
        except ForkedProcessError as error:
            print("refused", error.parent_pid == parent, flush=True)
    registration.close()
    directory.close()
    registry.close()
    os._exit(0)
os.waitpid(child, 0)
print("still there", registry.list() == [endpoint], registration.state.value, flush=True)
registry.close()
""",
        url,
    )
    assert seen.splitlines() == ["refused True"] * 5 + ["still there True stands"]
