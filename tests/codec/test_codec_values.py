"""Values to bodies and back."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import numpy as np
import pytest

from iris_actor import codec, travel_by_value
from iris_actor.errors import SerializationError
from iris_actor.rpc.buffers import own


class Refuses:
    """Cannot be pickled, in a way of the test's choice."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self):
        raise self.error


class Unloadable:
    """Pickles, and cannot be rebuilt."""

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise ValueError("does not come back")


def roundtrip(value):
    return codec.loads(codec.dumps(value))


@pytest.mark.parametrize(
    "value",
    [None, 1, 1.5, "text", b"bytes", True, (1, [2, {"a": {3}}]), range(3), b"x" * 200_000, "y" * 200_000],
    ids=lambda value: type(value).__name__ + str(len(str(value))),
)
def test_values_come_back_equal(value):
    assert roundtrip(value) == value


def test_large_buffers_travel_beside_the_stream_uncopied():
    array = np.arange(100_000)
    body = codec.dumps({"a": array, "b": [array[:10]]})
    assert len(body.buffers) == 1
    assert np.shares_memory(np.frombuffer(body.buffers[0], dtype=array.dtype), array)
    assert body.nbytes >= array.nbytes
    assert len(body.data) < 2_000


def test_small_buffers_travel_in_the_stream():
    body = codec.dumps(np.arange(100))
    assert body.buffers == ()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((300, 300)),
        np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
        np.arange(200_000)[::2],
        np.zeros((0, 5)),
        np.array(3),
        np.array([b"a", None], dtype=object),
    ],
    ids=["c", "fortran", "strided", "empty", "scalar", "objects"],
)
def test_arrays_of_every_layout_come_back_equal(array):
    assert np.array_equal(roundtrip(array), array)


def test_functions_and_classes_without_a_module_travel_by_value():
    factor = 3

    def scale(x):
        return x * factor

    class Local:
        def value(self):
            return scale(2)

    assert roundtrip(scale)(4) == 12
    assert roundtrip(Local)().value() == 6
    assert roundtrip(lambda: factor)() == 3


def test_functions_of_importable_modules_travel_by_reference():
    assert roundtrip(subprocess.run) is subprocess.run
    assert len(codec.dumps(subprocess.run).data) < 100


def test_a_module_can_be_made_to_travel_by_value(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    travel_by_value(only_here)
    packed = codec.dumps(only_here.answer).data
    script = (
        "import sys; from iris_actor import codec\nprint(codec.loads(codec.Body(sys.stdin.buffer.read()))())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=bytes(packed), capture_output=True, check=True
    )
    assert done.stdout.strip() == b"42"


@pytest.mark.parametrize(
    "error", [TypeError("no"), ValueError("no"), RuntimeError("no"), RecursionError("no"), OSError("no")]
)
def test_a_value_that_refuses_to_be_pickled_is_a_serialization_error_whatever_it_raises(error):
    with pytest.raises(SerializationError) as caught:
        codec.dumps([Refuses(error)])
    assert caught.value.__cause__ is error
    assert type(error).__name__ in str(caught.value)


def test_a_list_nested_too_deep_is_a_serialization_error():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError):
        codec.dumps(nested)


def test_a_value_that_cannot_be_rebuilt_is_a_serialization_error():
    with pytest.raises(SerializationError, match="does not come back"):
        codec.loads(codec.dumps(Unloadable()))


def test_garbage_is_a_serialization_error():
    with pytest.raises(SerializationError, match="cannot rebuild"):
        codec.loads(codec.Body(b"garbage"))


def test_arguments_come_back_positional_and_by_name():
    assert codec.load_arguments(codec.dump_arguments("a.m", (1, "x"), {"y": [2]})) == ((1, "x"), {"y": [2]})
    assert codec.load_arguments(codec.dump_arguments("a.m", (), {})) == ((), {})
    assert codec.load_arguments(codec.dump_arguments("a.m", (1,), {})) == ((1,), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "culprit"),
    [
        ((1, threading.Lock()), {}, "argument 1"),
        ((1,), {"lock": threading.Lock()}, "argument 'lock'"),
        ((Refuses(ValueError("never")),), {}, "argument 0"),
    ],
)
def test_the_argument_that_cannot_be_pickled_is_named(args, kwargs, culprit):
    with pytest.raises(SerializationError) as caught:
        codec.dump_arguments("demo/actor.method", args, kwargs)
    assert culprit in str(caught.value)
    assert str(caught.value).startswith("demo/actor.method: ")
    assert caught.value.target == "demo/actor.method"
    assert not caught.value.may_have_run


def test_an_error_about_a_value_shows_it_in_brief():
    class Talkative(Refuses):
        def __repr__(self):
            return "x" * 10_000

    with pytest.raises(SerializationError) as caught:
        codec.dumps(Talkative(TypeError("no")))
    assert len(str(caught.value)) < 300


def test_a_value_whose_repr_fails_can_still_be_reported():
    class Mute(Refuses):
        def __repr__(self):
            raise RuntimeError("no repr")

    with pytest.raises(SerializationError, match="unprintable"):
        codec.dumps(Mute(TypeError("no")))


def test_json_refuses_what_json_has_no_form_for():
    assert codec.dump_json({"a": [1, None, "ü"]}) == b'{"a": [1, null, "\\u00fc"]}'
    for value in ({1, 2}, float("nan"), object()):
        with pytest.raises(SerializationError, match="no JSON form"):
            codec.dump_json(value)


def test_text_that_is_no_json_is_named_in_the_error():
    with pytest.raises(SerializationError, match="args_json is not JSON"):
        codec.load_json(b"[1,", "args_json")


def test_a_body_shows_its_size_and_not_its_content():
    assert repr(codec.dumps(np.zeros(100_000))).endswith("1 buffers of 800000)")


def test_a_module_as_a_value_travels_by_name():
    assert isinstance(roundtrip(types), types.ModuleType)


class Text(bytes):
    """Not just bytes."""


@pytest.mark.parametrize("size", [100, 60_000, 65_536, 100_000, 200_000, 262_144, 300_000])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_arrays_travel_in_the_stream_as_long_as_they_are_small_together(size, count):
    arrays = [np.full(size, number, np.uint8) for number in range(count)]
    body = codec.dumps(arrays)
    inside = 256 * 1024 // size if size >= 65_536 else count
    assert len(body.buffers) == max(0, count - inside)
    back = codec.loads(own(body))
    assert all(np.array_equal(one, other) for one, other in zip(back, arrays, strict=True))
    for array in codec.loads(body)[:inside]:
        np.add(array, 1, out=array)  # on memory of its own
    assert [array[0] for array in arrays] == list(range(count))


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (codec.OUT_OF_BAND - 1),
        b"x" * codec.OUT_OF_BAND,
        b"x" * 100_000,
        b"x" * (codec.ONE_PIECE + 1),
        b"x" * 5_000_000,
    ],
)
def test_large_bytes_travel_beside_the_stream_and_arrive_as_bytes(data):
    large = len(data) > codec.ONE_PIECE
    body = codec.dumps(data)
    assert [buffer.nbytes for buffer in body.buffers] == [len(data)] * large
    assert type(codec.loads(body)) is bytes
    assert codec.loads(body) == data
    body = codec.dump_arguments("actor.method", (1, data, [data]), {"more": data})
    assert len(body.buffers) == large, "it is the same one each time"
    args, kwargs = codec.load_arguments(body)
    assert (args, kwargs) == ((1, data, [data]), {"more": data})
    assert args[1] is args[2][0] is kwargs["more"]
    assert own(body).nbytes == body.nbytes
    if large:
        assert body.buffers[0].obj is data
        assert own(body).buffers[0].obj is data, "nobody can change it"


def test_what_is_more_than_bytes_stays_what_it_is():
    text = Text(b"x" * 100_000)
    assert type(codec.loads(codec.dumps(text))) is Text
    ((back,), _) = codec.load_arguments(codec.dump_arguments("actor.method", (text,), {}))
    assert type(back) is Text
    assert back == text
