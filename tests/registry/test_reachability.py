"""That a registry cannot be reached is logged once, and that it is back; so is what it loses meanwhile."""

from __future__ import annotations

import logging

import pytest

from iris_actor import ActorServer, EtcdResolver, FixedResolver
from iris_actor.errors import ConnectionLostError, RegistryUnavailableError
from iris_actor.etcd.connection.reachability import BLIP, Reachability
from iris_actor.registry import RegistrationState, connect_registry
from iris_actor.testing import EtcdProcess
from tests.registry.conftest import keys, run_etcdctl
from tests.support.lab import Lab
from tests.support.processes import ServerProcess
from tests.support.proxy import Proxy
from tests.support.waiting import Stopwatch, until


def said(caplog: pytest.LogCaptureFixture, text: str, level: int = logging.INFO) -> list[str]:
    """The lines of our log of that level that contain `text`."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("iris_actor.") and record.levelno == level and text in record.getMessage()
    ]


def warned(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return said(caplog, text, logging.WARNING)


@pytest.fixture(autouse=True)
def _all_is_logged(caplog):
    caplog.set_level(logging.INFO, "iris_actor")


@pytest.fixture
def door(etcd):
    """The way to etcd that a test may shut."""
    with Proxy(f"127.0.0.1:{etcd.port}") as proxy:
        yield proxy


def test_one_warning_stands_for_lease_watches_and_listings(etcd, door, namespace, make_endpoint, caplog):
    url = f"etcd://{door.address}?ttl=2"
    with connect_registry(url) as registry:
        registration = registry.register(make_endpoint())
        directories = [registry.directory(space) for space in (namespace, f"{namespace}-2", "third")]
        assert all(directory.wait_synced(10) for directory in directories)
        door.refuse()
        until(lambda: all(directory.stale for directory in directories))
        until(lambda: registration.state is RegistrationState.LOST)
        for _ in range(3):
            with pytest.raises(RegistryUnavailableError) as caught:
                registry.list(timeout=0.3)
        assert caught.value.since is not None
        assert all(f"{directory.trouble}".count("since") for directory in directories)
        until(lambda: warned(caplog, "cannot be reached"))
        assert said(caplog, "is back") == []
        door.accept()
        until(lambda: not any(directory.stale for directory in directories))
        until(lambda: registration.state is RegistrationState.STANDS)
        assert len(warned(caplog, "cannot be reached")) == 1
        (back,) = said(caplog, "is back after")
        assert door.address in back
        assert directories[0].trouble is None


def test_each_outage_is_told_anew(door, namespace, caplog):
    with connect_registry(f"etcd://{door.address}") as registry:
        directory = registry.directory(namespace)
        assert directory.wait_synced(10)
        for outage in (1, 2):
            door.refuse()
            until(lambda outage=outage: len(warned(caplog, "cannot be reached")) == outage)
            door.accept()
            until(lambda outage=outage: len(said(caplog, "is back")) == outage)


def test_two_registries_are_two_warnings_without_a_password(caplog, namespace):
    with (
        connect_registry("etcd://user:secret@127.0.0.1:1") as one,
        connect_registry("etcd://127.0.0.1:2") as other,
    ):
        for registry in (one, other):
            with pytest.raises(RegistryUnavailableError):
                registry.list(timeout=4)
        assert len(warned(caplog, "cannot be reached")) == 2
        assert "secret" not in caplog.text


def test_one_endpoint_of_several_that_is_down_is_no_outage(etcd, namespace, make_endpoint, caplog):
    with connect_registry(f"etcd://127.0.0.1:1,127.0.0.1:{etcd.port}/{namespace}") as registry:
        registry.register(make_endpoint())
        directory = registry.directory(namespace)
        assert directory.wait_synced(10)
        assert directory.trouble is None
        assert warned(caplog, "cannot be reached") == []


def test_a_connection_that_only_breaks_is_no_outage(door, namespace, make_endpoint, caplog):
    with connect_registry(f"etcd://{door.address}") as registry:
        directory = registry.directory(namespace)
        assert directory.wait_synced(10)
        until(lambda: not directory.stale)
        accepted = door.accepted
        door.cut()
        until(lambda: door.accepted > accepted)
        endpoint = make_endpoint()
        registry.register(endpoint)
        until(lambda: directory.endpoints(endpoint.name))
        assert warned(caplog, "cannot be reached") == []


def test_a_registry_that_ends_before_its_users_do_is_not_spoken_of(namespace, make_endpoint, caplog):
    with EtcdProcess() as own, connect_registry(own.url) as registry:
        registry.register(make_endpoint())
        own.kill()  # the lease cannot be revoked
    assert said(caplog, "could not revoke")
    assert warned(caplog, "cannot be reached") == []


def test_reachability_counts_from_the_first_silence(caplog):
    reachability = Reachability("etcd://h:1")
    assert (reachability.trouble, reachability.since) == (None, None)
    reachability.absent("a blip")
    reachability.answered()
    assert reachability.trouble is None
    assert caplog.records == []
    reachability.absent("first")
    since = reachability.since
    until(lambda: reachability.absent("second") or caplog.records)
    reachability.absent("third")
    trouble = reachability.trouble
    assert trouble is not None
    assert (trouble.since, trouble.reason, trouble.url) == (since, "third", "etcd://h:1")
    assert "third" in str(trouble)
    reachability.answered()
    reachability.answered()
    assert reachability.trouble is None
    assert (len(warned(caplog, "second")), len(said(caplog, "is back")), len(caplog.records)) == (1, 1, 2)


def test_at_the_end_of_its_users_nothing_is_told_any_more(caplog):
    reachability = Reachability("etcd://h:1")
    reachability.close()
    clock = Stopwatch()
    until(lambda: reachability.absent("at the end") or clock.seconds > BLIP + 0.5)
    assert reachability.trouble is not None
    reachability.answered()
    assert caplog.records == []


# --- registrations ----------------------------------------------------------------------------------


def test_a_registration_that_somebody_deletes_is_told_lost_and_back(etcd, namespace, make_endpoint, caplog):
    with connect_registry(f"{etcd.url}/{namespace}?ttl=1") as registry:
        endpoint = make_endpoint()
        registry.register(endpoint)
        run_etcdctl(etcd, "del", "--prefix", f"/{namespace}/endpoints/")
        until(lambda: keys(etcd, f"/{namespace}/endpoints/"))
        (lost,) = warned(caplog, "has lost")
        assert endpoint.name in lost
        until(lambda: said(caplog, "again"))
        assert endpoint.name in said(caplog, "again")[0]


def test_registrations_that_are_lost_with_the_data_are_told_in_one_line(namespace, make_endpoint, caplog):
    with EtcdProcess() as own, connect_registry(f"{own.url}?ttl=1") as registry:
        made = [registry.register(make_endpoint(f"actor-{number}")) for number in range(20)]
        own.restart(wipe=True)
        until(lambda: all(each.state is RegistrationState.STANDS for each in made) and said(caplog, "again"))
        (lost,) = warned(caplog, "has lost")
        assert "15 more" in lost


def test_a_lease_that_may_have_ended_is_told_once(namespace, make_endpoint, caplog):
    with EtcdProcess() as own, connect_registry(f"{own.url}?ttl=2") as registry:
        registration = registry.register(make_endpoint())
        own.pause()
        until(lambda: registration.state is RegistrationState.LOST)
        until(lambda: warned(caplog, "may have lost"))
        own.resume()
        until(lambda: registration.state is RegistrationState.STANDS)
        assert len(warned(caplog, "may have lost")) == 1


# --- endpoints --------------------------------------------------------------------------------------


def test_an_endpoint_that_a_pool_uses_is_told_lost_and_back(caplog):
    with ServerProcess() as server:
        pool = FixedResolver({"actor": server.address}, namespace="test").lookup("actor")
        assert pool.call(timeout=20).echo(1) == 1
        held = pool.submit(timeout=20).hold("gate")
        until(lambda: pool.call(timeout=20).counted("gate"))
        server.kill()
        with pytest.raises(ConnectionLostError):
            held.result(20)
        until(lambda: said(caplog, f"endpoint {server.address} of test/actor is lost"))
        with ServerProcess(port=server.port):
            assert pool.call(timeout=20).echo(1) == 1
            until(lambda: said(caplog, f"endpoint {server.address} of test/actor is back"))


def test_calls_that_work_are_not_spoken_of(etcd, namespace, caplog):
    with ActorServer(etcd.url, namespace=namespace) as server:
        server.register("lab", Lab())
        server.serve_background()
        with EtcdResolver(etcd.url, namespace=namespace) as resolver:
            assert [resolver.lookup("lab").call().echo(n) for n in range(3)] == [0, 1, 2]
    assert said(caplog, "endpoint") == []
    assert warned(caplog, "") == []
