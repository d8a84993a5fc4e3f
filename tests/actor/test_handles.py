"""Handles travel: an actor can be given another."""

from __future__ import annotations

import pickle

import pytest

from iris_actor import ActorClient, Credentials, EtcdResolver, FixedResolver
from tests.support.processes import ServerProcess


@pytest.fixture
def pair(etcd, namespace):
    """Two actors in processes of their own, one called "caller" and one "callee"."""
    with (
        ServerProcess(etcd.url, namespace=namespace, name="caller") as caller,
        ServerProcess(etcd.url, namespace=namespace, name="callee") as callee,
        EtcdResolver(etcd.url, namespace=namespace) as resolver,
    ):
        yield resolver, caller, callee


def test_an_actor_calls_through_a_pool_that_it_was_given(pair):
    resolver, caller, callee = pair
    run = resolver.lookup("caller").call(timeout=20).run
    assert run(lambda pool: pool.call(timeout=10).pid(), resolver.lookup("callee")) == callee.pid
    assert callee.pid != caller.pid


def test_an_actor_calls_through_a_client_that_it_was_given(pair):
    resolver, _, callee = pair
    run = resolver.lookup("caller").call(timeout=20).run
    assert run(lambda client: client.pid(), ActorClient(resolver, "callee", timeout=10)) == callee.pid


def test_an_actor_looks_up_in_a_resolver_that_it_was_given(pair):
    resolver, _, callee = pair
    run = resolver.lookup("caller").call(timeout=20).run
    assert run(lambda it: it.lookup("callee").call(timeout=10).pid(), resolver) == callee.pid


def test_handles_inside_a_structure_travel_and_keep_their_settings(pair):
    resolver, _, callee = pair

    def use(handles):
        return {key: (handle.call(key="k", timeout=10).pid(), handle.name) for key, handle in handles.items()}

    handles = {name: resolver.lookup("callee", balancer=name) for name in ("hash", "least_pending")}
    answers = resolver.lookup("caller").call(timeout=20).run(use, handles)
    assert answers == dict.fromkeys(handles, (callee.pid, f"{resolver.namespace}/callee"))


def test_a_handle_that_an_actor_was_given_can_be_passed_on(pair):
    resolver, _, callee = pair

    def pass_on(caller, callee):
        return caller.call(timeout=10).run(lambda handle: handle.call(timeout=10).pid(), callee)

    run = resolver.lookup("caller").call(timeout=20).run
    assert run(pass_on, resolver.lookup("caller"), resolver.lookup("callee")) == callee.pid


def test_a_fixed_resolver_and_its_handles_pickle():
    with ServerProcess() as server:
        resolver = FixedResolver({"actor": server.address}, namespace="test")
        pool = pickle.loads(pickle.dumps(resolver.lookup("actor", max_retries=1)))
        assert pool.call(timeout=10).pid() == server.pid
        client = pickle.loads(pickle.dumps(ActorClient(resolver, "actor", timeout=10)))
        assert client.pid() == server.pid
        again = pickle.loads(pickle.dumps(resolver))
        assert again.resolve("actor").first().address == server.address


def test_a_pickled_resolver_keeps_its_credentials():
    resolver = FixedResolver({"a": "127.0.0.1:1"}, credentials=Credentials(token="t"))
    assert pickle.loads(pickle.dumps(resolver)).credentials == Credentials(token="t")
