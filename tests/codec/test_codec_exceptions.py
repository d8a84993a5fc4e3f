"""Exceptions to bodies and back: as themselves, with the traceback of the far side."""

from __future__ import annotations

import asyncio
import copyreg
import json
import pickle
import subprocess
import threading
from pathlib import Path

import pytest

from iris_actor import codec
from iris_actor.errors import RemoteError, RemoteTraceback


class Custom(Exception):
    """Its __init__ takes other things than its args."""

    def __init__(self, host: str, *, port: int) -> None:
        super().__init__(f"{host}:{port}")
        self.host = host
        self.port = port


class CustomConnection(ConnectionError):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"cannot reach {host}:{port}")
        self.host = host
        self.port = port


class CustomImport(ImportError):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}", name=what)
        self.why = why


class OwnReduce(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("own")
        self.sum = a + b

    def __reduce__(self):
        return OwnReduce, (self.sum, 0)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def travelled(error: BaseException) -> BaseException:
    """`error`, raised and sent."""
    try:
        raise error
    except BaseException as raised:
        return codec.load_exception(codec.dump_exception(raised))


def test_an_exception_arrives_as_itself_with_the_far_traceback_as_cause():
    error = travelled(ValueError("broken", 7))
    assert type(error) is ValueError
    assert error.args == ("broken", 7)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "raise error" in error.__cause__.text
    assert "ValueError: ('broken', 7)" in str(error.__cause__)


def test_an_exception_with_a_custom_init_arrives_as_itself():
    error = travelled(Custom("h", port=3))
    assert type(error) is Custom
    assert (error.host, error.port, str(error)) == ("h", 3, "h:3")


def test_a_custom_init_of_an_oserror_arrives_as_itself():
    error = travelled(CustomConnection("h", 3))
    assert type(error) is CustomConnection
    assert (error.host, error.port, str(error)) == ("h", 3, "cannot reach h:3")


def test_a_custom_init_of_an_import_error_arrives_as_itself():
    error = travelled(CustomImport("numpy", "too old"))
    assert type(error) is CustomImport
    assert (error.why, error.name, str(error)) == ("too old", "numpy", "numpy: too old")


def test_an_exceptions_own_reduction_is_respected():
    error = travelled(OwnReduce(1, 2))
    assert type(error) is OwnReduce
    assert error.sum == 3


def _decode() -> None:
    b"ab\xff".decode()


def _open() -> None:
    Path("/nowhere/at/all").read_bytes()


def _json() -> None:
    json.loads("[1,")


def _syntax() -> None:
    compile("a b", "file.py", "exec")


def _import() -> None:
    import nowhere_at_all  # noqa: F401


def _key() -> None:
    {}["missing"]


def _attribute() -> None:
    object().missing  # noqa: B018


def _process() -> None:
    raise subprocess.CalledProcessError(3, ["cmd"], b"out", b"err")


def _exit() -> None:
    raise SystemExit(4)


def _stop() -> None:
    raise StopIteration(5)


BUILTIN = pytest.mark.parametrize(
    ("function", "attributes"),
    [
        (_decode, ("encoding", "object", "start", "end", "reason")),
        (_open, ("errno", "strerror", "filename")),
        (_json, ("msg", "doc", "pos", "lineno")),
        (_syntax, ("msg", "filename", "lineno", "text")),
        (_import, ("name", "msg")),
        (_key, ()),
        (_attribute, ()),
        (_process, ("returncode", "cmd", "output", "stderr")),
        (_exit, ("code",)),
        (_stop, ("value",)),
    ],
)


def _bare(cls: type[BaseException]) -> BaseException:
    return cls.__new__(cls)


def _reduce_any(error: BaseException) -> tuple[object, ...]:
    return _bare, (type(error),)


@BUILTIN
def test_one_reduction_for_all_exceptions_does_not_spoil_them(function, attributes, monkeypatch):
    """As tblib registers it, which comes with dask and others."""
    classes: list[type[BaseException]] = [BaseException]
    for cls in classes:
        classes += cls.__subclasses__()
        monkeypatch.setitem(copyreg.dispatch_table, cls, _reduce_any)
    test_builtin_exceptions_keep_what_they_know(function, attributes)


class Registered(Exception):
    pass


def test_a_reduction_for_a_class_of_its_own_is_kept(monkeypatch):
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda _: (Registered, ("as registered",)))
    copy = codec.load_exception(codec.dump_exception(Registered("as raised")))
    assert copy.args == ("as registered",)


@BUILTIN
def test_builtin_exceptions_keep_what_they_know(function, attributes):
    try:
        function()
    except BaseException as raised:
        original = raised
    copy = codec.load_exception(codec.dump_exception(original))
    assert type(copy) is type(original)
    assert str(copy) == str(original)
    assert copy.args == original.args
    for attribute in attributes:
        assert getattr(copy, attribute) == getattr(original, attribute), attribute


def test_a_unicode_error_with_a_custom_subclass_keeps_what_it_knows():
    class Mine(UnicodeDecodeError):
        pass

    error = travelled(Mine("utf-8", b"\xff", 0, 1, "bad"))
    assert str(error) == "'utf-8' codec can't decode byte 0xff in position 0: bad"


def test_notes_and_attributes_travel():
    original = ValueError("x")
    original.add_note("look here")
    original.extra = [1, 2]
    copy = travelled(original)
    assert copy.__notes__ == ["look here"]
    assert copy.extra == [1, 2]
    assert "look here" in copy.__cause__.text


def test_an_exception_group_arrives_with_its_members():
    group = travelled(
        ExceptionGroup("several", [ValueError("a"), ExceptionGroup("in", [Custom("h", port=1)])])
    )
    assert isinstance(group, ExceptionGroup)
    assert group.message == "several"
    assert str(group.exceptions[0]) == "a"
    assert group.exceptions[1].exceptions[0].port == 1
    matching, rest = group.split(ValueError)
    assert matching is not None
    assert rest is not None


def test_the_cause_at_the_far_side_is_in_the_traceback():
    try:
        try:
            raise KeyError("inner reason")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as raised:
        copy = codec.load_exception(codec.dump_exception(raised))
    assert "inner reason" in copy.__cause__.text
    assert "direct cause" in copy.__cause__.text


def test_an_exception_that_cannot_be_pickled_arrives_as_a_remote_error():
    original = Custom("h", port=1)
    original.lock = threading.Lock()
    error = travelled(original)
    assert type(error) is RemoteError
    assert error.type_name.endswith("Custom")
    assert error.message == "h:1"
    assert "Custom: h:1" in error.traceback
    assert error.may_have_run
    assert isinstance(error.__cause__, RemoteTraceback)


def test_an_exception_whose_class_fails_to_unpickle_arrives_as_a_remote_error():
    class Picky(Exception):
        def __setstate__(self, state):
            raise RuntimeError("no")

        def __reduce__(self):
            return type(self), (), {"a": 1}

    error = travelled(Picky("text"))
    assert type(error) is RemoteError
    assert "Picky" in error.type_name


def test_an_exception_whose_text_fails_still_arrives():
    error = travelled(Mute())
    assert type(error) in {Mute, RemoteError}
    assert isinstance(error.__cause__, RemoteTraceback)


def test_exceptions_that_are_no_errors_travel_too():
    assert type(travelled(KeyboardInterrupt())) is KeyboardInterrupt
    assert type(travelled(asyncio.CancelledError())) is asyncio.CancelledError


def test_a_class_that_is_local_to_a_function_travels_by_value():
    class Local(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__("local")
            self.total = a + b

    error = travelled(Local(1, 2))
    assert type(error).__name__ == "Local"
    assert error.total == 3


def test_an_exception_inside_a_value_travels_as_itself():
    copy = codec.loads(codec.dumps({"error": Custom("h", port=9)}))
    assert copy["error"].port == 9


def test_a_rebuilt_exception_pickles_again():
    copy = pickle.loads(pickle.dumps(travelled(ValueError("x"))))
    assert copy.args == ("x",)
