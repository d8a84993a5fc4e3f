from __future__ import annotations

import dataclasses

import pytest

from iris_actor.work.launch.resource_spec import ResourceSpec, parse_memory
from iris_actor.work.pool.config import WorkerPoolConfig


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("16 GiB", 16 * 2**30),
        ("16Gi", 16 * 2**30),
        ("512m", 512 * 10**6),
        ("1.5kb", 1500),
        ("123", 123),
        (4096, 4096),
    ],
)
def test_memory_is_understood_in_decimal_and_binary_units(text: str | int, size: int) -> None:
    assert parse_memory(text) == size
    assert ResourceSpec(memory=text).memory_bytes == size


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "16XB", "16iB", 0, -5, 1.5, True])
def test_bad_memory_is_refused_with_the_value_and_the_rule(text: object) -> None:
    with pytest.raises(ValueError, match=r"ResourceSpec\.memory (must|unit)") as caught:
        ResourceSpec(memory=text)  # type: ignore[arg-type]
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpu", 0), ("cpu", float("nan")), ("cpu", "2"), ("gpus", -1), ("gpus", 0.5), ("gpus", True)],
)
def test_a_bad_resource_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"ResourceSpec\.{field} must .* got {value!r}"):
        ResourceSpec(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_workers", 0),
        ("num_workers", "4"),
        ("num_workers", True),
        ("max_retries", -1),
        ("max_restarts", 1.5),
        ("start_timeout", 0),
        ("shutdown_grace", float("inf")),
        ("name", "a/b"),
        ("name", "_private"),
        ("name", ""),
        ("resources", {"cpu": 1}),
        ("env", {"A": 1}),
    ],
)
def test_a_bad_pool_configuration_is_refused_when_it_is_built(field: str, value: object) -> None:
    with pytest.raises(ValueError) as caught:
        WorkerPoolConfig(**{field: value})  # type: ignore[arg-type]
    assert str(value) in str(caught.value) or field in str(caught.value)


def test_an_initializer_that_cannot_be_called_is_a_type_error_as_in_the_stdlib() -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        WorkerPoolConfig(initializer=3)  # type: ignore[arg-type]


def test_configurations_are_frozen_and_have_defaults_that_work() -> None:
    config = WorkerPoolConfig()
    assert config.num_workers >= 1
    assert config.max_retries == 3
    assert config.resources == ResourceSpec(cpu=1, memory=None, gpus=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.num_workers = 3  # type: ignore[misc]
