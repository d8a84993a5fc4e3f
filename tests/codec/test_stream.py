"""Large bytes inside other objects travel beside the pickle stream."""

from __future__ import annotations

import dataclasses
import pickle
import random
import struct
from typing import Any

import numpy as np
import polars as pl
import pytest

from iris_actor import codec
from iris_actor.rpc.buffers import own

LARGE = codec.ONE_PIECE + 1


@dataclasses.dataclass
class Holder:
    payload: Any
    name: str = "n"


class Text(bytes):
    pass


class Sealed:
    """Its state is large bytes, as that of polars' frames."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __getstate__(self) -> bytes:
        return self.data

    def __setstate__(self, state: bytes) -> None:
        self.data = state


def look(value: Any) -> Any:
    """`value` in a form that compares."""
    return getattr(value, "payload", None) or getattr(value, "data", None) or value


WRAPS = {
    "bare": lambda data: data,
    "list": lambda data: [1, data, "x"],
    "dict": lambda data: {"a": {"b": data}, "c": (data[:10],)},
    "dataclass": Holder,
    "state": Sealed,
    "subclass": Text,
    "local class": type("Local", (Sealed,), {}),
    "late in a long stream": lambda data: [list(range(100_000)), data, list(range(100_000))],
    "after a large string": lambda data: ["é" * 100_000, data, "x" * 100_000],
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("size", [LARGE, 5_000_000])
def test_large_bytes_anywhere_travel_beside_the_stream_uncopied(wrap: Any, size: int) -> None:
    data = random.Random(size).randbytes(size)
    value = wrap(data)
    body = codec.dumps(value)
    assert [buffer.nbytes for buffer in body.buffers] == [size]
    if wrap is not WRAPS["subclass"]:
        assert body.buffers[0].obj is data
    for form in (
        body,
        own(body),
        codec.Body(bytes(body.data), tuple(map(memoryview, map(bytes, body.buffers)))),
    ):
        back = codec.loads(form)
        assert look(back) == look(value)


@pytest.mark.parametrize("size", [1, 60_000, 65_535, 65_536, 100_000, 131_072, 200_000, 262_144])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_bytes_travel_in_the_stream_as_long_as_they_are_small_together(size: int, count: int) -> None:
    items = [bytes([number]) * size for number in range(count)]
    body = codec.dumps(items)
    inside = codec.ONE_PIECE // size if size >= codec.OUT_OF_BAND else count
    assert len(body.buffers) == max(0, count - inside)
    assert codec.loads(body) == items


def test_arrays_and_bytes_share_the_room_in_the_stream() -> None:
    items = [bytes(100_000), np.zeros(100_000, np.uint8), bytes(100_001), np.zeros(100_001, np.uint8)]
    body = codec.dumps(items)
    assert [buffer.nbytes for buffer in body.buffers] == [100_001, 100_001]
    back = codec.loads(body)
    assert [bytes(item) for item in back] == [bytes(item) for item in items]
    assert [type(item) for item in back] == [type(item) for item in items]


def test_the_same_bytes_twice_travel_once_and_stay_the_same() -> None:
    data = bytes(LARGE)
    body = codec.dumps({"a": data, "b": [data, Holder(data)]})
    assert len(body.buffers) == 1
    back = codec.loads(body)
    assert back["a"] is back["b"][0] is back["b"][1].payload


def test_a_large_bytearray_arrives_as_one_and_may_be_resized_meanwhile() -> None:
    data = bytearray(b"x" * LARGE)
    body = codec.dumps([data, data])
    assert len(body.buffers) == 1
    data.extend(b"more")
    data[0] = 0
    first, second = codec.loads(body)
    assert first is second
    assert type(first) is bytearray
    assert first == b"x" * LARGE
    first.append(1)


def test_strings_stay_in_the_stream() -> None:
    value = ["x" * LARGE, "é" * LARGE, "\ud800" * LARGE]
    body = codec.dumps(value)
    assert body.buffers == ()
    assert codec.loads(body) == value


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_bytes_in_a_value_that_travels_by_value(kind: type) -> None:
    data = kind(b"y" * LARGE)

    def use() -> Any:
        return data

    body = codec.dumps(use)
    assert [buffer.nbytes for buffer in body.buffers] == [LARGE]
    assert codec.loads(body)() == data


def test_frames_of_polars_travel_beside_the_stream() -> None:
    frame = pl.DataFrame({"a": np.arange(100_000.0), "b": [str(number) for number in range(100_000)]})
    body = codec.dumps({"frame": frame})
    assert len(body.data) < 2_000
    assert codec.loads(body)["frame"].equals(frame)


def test_arguments_of_a_call_have_large_bytes_beside_them_at_any_depth() -> None:
    data = bytes(LARGE)
    body = codec.dump_arguments("actor.method", ([data],), {"holder": Holder(bytearray(data))})
    assert len(body.buffers) == 2
    (items,), kwargs = codec.load_arguments(body)
    assert items == [data]
    assert kwargs["holder"].payload == data


def announced(size: int) -> bytes:
    """What pickle writes before bytes of that size."""
    return b"B" + size.to_bytes(4, "little")


@pytest.mark.parametrize("seed", range(20))
def test_content_that_looks_like_pickles_own_opcodes_stays_content(seed: int) -> None:
    """Whoever chooses the content of strings must not be able to pass some of it off as opcodes."""
    chosen = random.Random(seed)
    value: list[Any] = []
    for _ in range(60):
        size = chosen.choice([100, 65_536 - 9, 65_536, 65_545, 70_000, 131_072, 300_000])
        tail = chosen.choice([announced(size), b"\x96" + size.to_bytes(8, "little"), b"\x95" + bytes(8)])
        content = b"\x95" + size.to_bytes(8, "little") + b"x" * size + tail
        value.append(content if chosen.random() < 0.5 else content.decode("latin1"))
    body = codec.dumps(value)
    assert codec.loads(body) == value
    with_numbers = [value, list(range(50_000)), value]
    assert codec.loads(codec.dumps(with_numbers)) == with_numbers


class Writes(list[bytes]):
    """A file for a pickler."""

    def write(self, chunk: Any) -> None:
        self.append(bytes(chunk))


def test_a_write_that_ends_like_an_announcement_of_the_next_one_is_none() -> None:
    """Numbers end a frame that is full, with bytes that whoever made them chose."""

    room = [bytes([each]) * codec.OUT_OF_BAND for each in range(4)]  # what may stay in the stream

    def value(number: float) -> list[Any]:
        return [*room, "x" * 65_520, number, "y" * 30_000, "z" * 40_000, bytes(LARGE)]

    def writes(number: float) -> tuple[bytes, bytes]:
        file = Writes()
        pickle.Pickler(file, 5).dump(value(number))
        second = next(index for index, chunk in enumerate(file) if b"yyy" in chunk)
        return file[second - 1], file[second]

    (number,) = struct.unpack(">d", b"@\0\0" + announced(len(writes(1.0)[1])))
    first, second = writes(number)
    assert len(second) > codec.OUT_OF_BAND
    assert first.endswith(announced(len(second)))
    body = codec.dumps(value(number))
    assert [buffer.nbytes for buffer in body.buffers] == [LARGE]
    assert codec.loads(body) == value(number)


def test_what_a_stream_keeps_loads_with_the_unpickler_that_is_written_in_python() -> None:
    value = [bytes(LARGE), bytearray(LARGE), "x" * LARGE, list(range(100_000)), np.arange(100_000)]
    body = codec.dumps(value)
    back = pickle._loads(bytes(body.data), buffers=body.buffers)  # type: ignore[attr-defined]
    assert back[:4] == value[:4]
    assert np.array_equal(back[4], value[4])
