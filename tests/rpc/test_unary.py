"""Unary Call, Describe, health and reflection: for programs in any language, and for people with grpcurl."""

from __future__ import annotations

import asyncio
import json
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from iris_actor import call_context
from iris_actor._proto import session_pb2 as pb
from iris_actor.errors import (
    ActorNotFoundError,
    DeadlineExceededError,
    MethodNotFoundError,
    RemoteError,
    SerializationError,
    ServerUnavailableError,
)
from iris_actor.rpc.json_call import call_json, describe
from tests.support.serving import NAME, hosting
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("each_carrier")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Plain:
    """An actor for callers without pickle."""

    def __init__(self) -> None:
        self.began = 0
        self.events: list[str] = []
        self.go = threading.Event()

    def add(self, a: int, b: int = 0) -> int:
        """The sum."""
        return a + b

    async def add_async(self, a: int, b: int = 0) -> int:
        return a + b

    def echo(self, value: object) -> object:
        return value

    def fail(self) -> None:
        raise ValueError("broken")

    def fail_mutely(self) -> None:
        raise Mute

    def no_json(self) -> set[int]:
        return {1}

    def generator(self):
        yield 1

    def hold(self) -> None:
        self.began += 1
        assert self.go.wait(20)

    async def sleep(self) -> None:
        self.began += 1
        try:
            await asyncio.sleep(30)
        finally:
            self.events.append("cancelled")

    def remaining(self) -> float:
        return call_context().time_remaining()


@pytest.fixture
def hosted():
    actor = Plain()
    with hosting(actor, max_concurrency=2) as hosted:
        hosted.actor = actor
        yield hosted
        actor.go.set()


def ask(hosted, method: str, args: str = "", kwargs: str = "", **options) -> str:
    options.setdefault("timeout", 10)
    return call_json(hosted.address, NAME, method, args, kwargs, **options)


def test_a_plain_grpc_stub_calls_with_json_and_gets_json(hosted):
    with grpc.insecure_channel(hosted.address) as channel:
        stub = channel.unary_unary(
            "/iris_actor.v1.Actors/Call",
            request_serializer=pb.CallRequest.SerializeToString,
            response_deserializer=pb.CallResponse.FromString,
        )
        response = stub(pb.CallRequest(actor=NAME, method="add", args_json="[1, 2]"), timeout=10)
    assert response.status == pb.OK
    assert response.result_json == "3"


@pytest.mark.parametrize("method", ["add", "add_async"])
def test_arguments_go_by_position_and_by_name(hosted, method):
    assert ask(hosted, method, "[1]", '{"b": 5}') == "6"
    assert ask(hosted, method, "", '{"a": 1}') == "1"


@pytest.mark.parametrize("value", [None, True, 1.5, "ü", [1, [2]], {"a": {"b": None}}])
def test_json_values_come_back_equal(hosted, value):
    assert json.loads(ask(hosted, "echo", json.dumps([value]))) == value


def test_a_name_may_have_its_namespace_or_not(hosted):
    for name in (NAME, f"test/{NAME}"):
        assert call_json(hosted.address, name, "add", "[1]", timeout=10) == "1"


def test_an_exception_comes_with_type_message_and_traceback(hosted):
    with pytest.raises(RemoteError, match="ValueError: broken") as caught:
        ask(hosted, "fail")
    assert caught.value.type_name == "ValueError"
    assert caught.value.message == "broken"
    assert "in fail" in caught.value.traceback
    assert "hosted_actor.py" not in caught.value.traceback


def test_an_exception_whose_text_fails_is_still_an_answer(hosted):
    with pytest.raises(RemoteError, match="Mute"):
        ask(hosted, "fail_mutely")
    assert ask(hosted, "add", "[1]") == "1"


def test_a_result_without_a_json_form_is_a_clear_error(hosted):
    with pytest.raises(SerializationError, match="no JSON form"):
        ask(hosted, "no_json")


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ("[1,", "", "args_json is not JSON"),
        ("", "{", "kwargs_json is not JSON"),
        ('{"a": 1}', "", "args_json must be a JSON array, got dict"),
        ("", "[1]", "kwargs_json must be a JSON object, got list"),
    ],
)
def test_arguments_that_are_no_json_are_a_clear_error(hosted, args, kwargs, message):
    with pytest.raises(SerializationError, match=message):
        ask(hosted, "add", args, kwargs)


def test_unknown_and_private_names_are_clear_errors(hosted):
    with pytest.raises(ActorNotFoundError, match="nobody"):
        call_json(hosted.address, "nobody", "add", timeout=10)
    with pytest.raises(MethodNotFoundError, match="subtract"):
        ask(hosted, "subtract")
    with pytest.raises(MethodNotFoundError, match="private"):
        ask(hosted, "__init__")


def test_a_generator_cannot_be_called_for_one_value(hosted):
    with pytest.raises(RemoteError, match=r"TypeError.*generator"):
        ask(hosted, "generator")


@pytest.mark.parametrize("method", ["hold", "sleep"])
def test_a_timeout_frees_the_caller(hosted, method):
    with pytest.raises(DeadlineExceededError):
        ask(hosted, method, timeout=0.3)
    assert hosted.actor.began == 1


def test_a_timeout_cancels_an_async_method(hosted):
    with pytest.raises(DeadlineExceededError):
        ask(hosted, "sleep", timeout=0.3)
    until(lambda: hosted.actor.events == ["cancelled"])
    until(lambda: hosted.server.in_flight == 0)


def test_the_timeout_of_the_request_is_the_deadline_of_the_call(hosted):
    assert 5 < float(ask(hosted, "remaining", timeout=20)) <= 20


def test_a_caller_that_hangs_up_cancels_its_call(hosted):
    with grpc.insecure_channel(hosted.address) as channel:
        stub = channel.unary_unary(
            "/iris_actor.v1.Actors/Call", pb.CallRequest.SerializeToString, pb.CallResponse.FromString
        )
        future = stub.future(pb.CallRequest(actor=NAME, method="sleep"), timeout=20)
        until(lambda: hosted.actor.began)
        future.cancel()
    until(lambda: hosted.actor.events == ["cancelled"])
    until(lambda: hosted.server.in_flight == 0)


def test_a_server_that_is_not_there_is_unavailable(hosted):
    hosted.server.stop()
    with pytest.raises(ServerUnavailableError):
        ask(hosted, "add", timeout=5)


def test_describe_of_an_unknown_actor_is_empty(hosted):
    assert list(describe(hosted.address, "nobody", timeout=10).actors) == []
    assert describe(hosted.address, timeout=10).incarnation


def test_health_is_serving_until_the_server_drains(hosted):
    with grpc.insecure_channel(hosted.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def status(service: str) -> int:
            return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status

        serving = health_pb2.HealthCheckResponse.SERVING
        for service in ("", "iris_actor.v1.Session", "iris_actor.v1.Actors"):
            assert status(service) == serving
        hosted.server.drain(5)
        assert status("") == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_lists_the_services_and_describes_them(hosted):
    with grpc.insecure_channel(hosted.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="iris_actor.v1.Actors"),
        ]
        services, file = list(stub.ServerReflectionInfo(iter(requests), timeout=10))
    assert {service.name for service in services.list_services_response.service} == {
        "iris_actor.v1.Session",
        "iris_actor.v1.Actors",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert file.file_descriptor_response.file_descriptor_proto


def test_a_draining_server_refuses_unary_calls(hosted):
    with grpc.insecure_channel(hosted.address) as channel:
        stub = channel.unary_unary(
            "/iris_actor.v1.Actors/Call", pb.CallRequest.SerializeToString, pb.CallResponse.FromString
        )
        held = stub.future(pb.CallRequest(actor=NAME, method="hold"), timeout=20)
        until(lambda: hosted.actor.began == 1)
        draining = threading.Thread(target=lambda: hosted.server.drain(20))
        draining.start()

        def refused() -> bool:
            try:
                ask(hosted, "add", "[1]")
            except ServerUnavailableError as error:
                return "draining" in str(error)
            return False

        until(refused)
        hosted.actor.go.set()
        assert held.result().status == pb.OK
        draining.join(20)
