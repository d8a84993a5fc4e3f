"""Exceptions of every make: whatever plain pickle keeps of one is kept, and often more."""

from __future__ import annotations

import copyreg
import dataclasses
import pickle
import threading
from typing import Any, Self

import attrs
import pytest

from iris_actor import codec
from iris_actor.errors import RemoteError, RemoteTraceback


@dataclasses.dataclass
class Data(Exception):
    code: int
    more: str = "m"


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


@dataclasses.dataclass(slots=True)
class Slots(Exception):
    code: int


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots(Exception):
    code: int


@dataclasses.dataclass(kw_only=True)
class KeywordOnly(Exception):
    code: int


@attrs.define
class Attrs(Exception):
    code: int


@attrs.frozen
class FrozenAttrs(Exception):
    code: int


@attrs.define(slots=False, kw_only=True)
class AttrsByKeyword(Exception):
    code: int


class OwnSlots(Exception):
    __slots__ = ("__secret", "code")

    def __init__(self, code: int) -> None:
        super().__init__("text")
        self.code = code
        self.__secret = code + 1

    def secret(self) -> int:
        return self.__secret


class DerivedSlots(OwnSlots):
    __slots__ = ("extra",)

    def __init__(self, code: int, *, extra: str) -> None:
        super().__init__(code)
        self.extra = extra


class ConnectionSlots(ConnectionError):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code, "refused")
        self.code = code


@dataclasses.dataclass(frozen=True)
class FrozenReduced(Exception):
    code: int

    def __reduce__(self) -> Any:
        return type(self), (self.code,)


class ReducedEx(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("text")
        self.code = code

    def __reduce_ex__(self, protocol: int) -> Any:
        return ReducedEx, (self.code,)


class OwnState(Exception):
    """Its attributes are rebuilt by its own method."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.restored = True


class OwnNew(Exception):
    def __new__(cls, code: int) -> Self:
        self = super().__new__(cls, code)
        self.code = code
        return self


class NewByKeyword(Exception):
    """Plain pickle cannot rebuild it."""

    def __new__(cls, *, code: int) -> Self:
        self = super().__new__(cls, "text")
        self.code = code
        return self

    def __init__(self, *, code: int) -> None:
        super().__init__(f"text {code}")


class Forbids(Exception):
    """No attribute can be set from outside."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.__dict__["code"] = code

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("nothing can be set")


class Once(Exception):
    """Cannot be made again from its args."""

    def __init__(self, code: int, token: object) -> None:
        if token is not TOKEN:
            raise ValueError("made by somebody else")
        super().__init__(f"code {code}")
        self.code = code


TOKEN = object()


class WithLock(Exception):
    """Has a slot that does not pickle, which its ``__init__`` fills."""

    __slots__ = ("code", "lock")

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        self.lock = threading.Lock()


class Computed(Exception):
    """A property stands before what it hides."""

    def __init__(self, code: int) -> None:
        super().__init__("text")
        self.__dict__["code"] = code

    @property
    def code(self) -> int:
        return self.__dict__["code"]

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("nothing can be set")


KINDS = {
    type(error).__name__: error
    for error in (
        Data(42), Frozen(42), Slots(42), FrozenSlots(42), KeywordOnly(code=42), Attrs(42), FrozenAttrs(42),
        AttrsByKeyword(code=42), OwnSlots(42), DerivedSlots(42, extra="e"), ConnectionSlots(42),
        FrozenReduced(42), ReducedEx(42), OwnState(42), OwnNew(42), NewByKeyword(code=42), Forbids(42),
        Once(42, TOKEN), WithLock(42), Computed(42),
    )
}  # fmt: skip
UNKEPT = (
    Frozen,
    KeywordOnly,
    AttrsByKeyword,
    OwnSlots,
    ConnectionSlots,
    NewByKeyword,
    Forbids,
    Once,
    Computed,
)
"""Those that plain pickle does not rebuild."""
EVERY = pytest.mark.parametrize("error", KINDS.values(), ids=KINDS)


def travelled(error: BaseException) -> Any:
    try:
        raise error
    except BaseException as raised:
        return codec.load_exception(codec.dump_exception(raised))


@EVERY
def test_an_exception_of_any_make_arrives_as_itself(error: Any) -> None:
    copy = travelled(error)
    assert type(copy) is type(error)
    assert copy.code == 42
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert isinstance(copy.__cause__, RemoteTraceback)
    assert "raise error" in copy.__cause__.text


@EVERY
def test_an_exception_of_any_make_arrives_as_itself_in_a_group(error: Any) -> None:
    group = travelled(ExceptionGroup("several", [ValueError("x"), ExceptionGroup("inner", [error])]))
    assert type(group) is ExceptionGroup
    (copy,) = group.exceptions[1].exceptions
    assert type(copy) is type(error)
    assert copy.code == 42


@EVERY
def test_an_exception_of_any_make_that_main_defines_arrives_as_itself(
    error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(error), "__module__", "__main__")
    copy = travelled(error)
    assert type(copy) is type(error)
    assert copy.code == 42


@EVERY
def test_what_plain_pickle_keeps_of_a_value_with_exceptions_is_kept(error: Any) -> None:
    try:
        plain = pickle.loads(pickle.dumps(error))
    except Exception:
        assert isinstance(error, UNKEPT)
        return
    (copy,) = codec.loads(codec.dumps([error]))
    assert type(copy) is type(plain)
    assert copy.args == plain.args
    for name in vars(plain):
        assert getattr(copy, name) == getattr(plain, name)


def test_what_slots_hold_arrives_also_under_a_mangled_name() -> None:
    copy = travelled(DerivedSlots(42, extra="e"))
    assert copy.secret() == 43
    assert copy.extra == "e"


def test_a_slot_that_was_never_set_stays_so() -> None:
    error = OwnSlots(1)
    del error.code
    assert not hasattr(travelled(error), "code")


def test_fields_that_the_base_keeps_in_c_arrive_beside_slots() -> None:
    copy = travelled(ConnectionSlots(42))
    assert (copy.errno, copy.strerror) == (42, "refused")


def test_an_own_setstate_is_called() -> None:
    assert travelled(OwnState(42)).restored


def test_what_init_makes_and_pickle_cannot_is_made_again() -> None:
    assert travelled(WithLock(42)).lock.acquire(blocking=False)
    assert codec.loads(codec.dumps({"results": [1, WithLock(42)]}))["results"][1].code == 42


@pytest.mark.parametrize("error", [Data(1), Slots(1), Attrs(1), OwnState(1), ValueError(1)], ids=repr)
def test_notes_arrive_with_attributes_and_slots(error: Any) -> None:
    error.add_note("look here")
    copy = travelled(error)
    assert copy.__notes__ == ["look here"]
    assert "look here" in copy.__cause__.text
    assert getattr(copy, "code", 1) == 1


def test_an_exception_that_refers_to_itself_arrives() -> None:
    error = Data(1)
    error.me = error
    copy = travelled(error)
    assert copy.me is copy


def test_registered_reductions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, Slots, lambda error: (Slots, (error.code + 1,)))
    assert travelled(Slots(1)).code == 2


def test_the_context_at_the_far_side_is_in_the_text_as_far_as_it_is_shown() -> None:
    def fail(*, hide: bool) -> None:
        try:
            raise KeyError("inner reason")
        except KeyError:
            if hide:
                raise Frozen(1) from None
            raise Frozen(1)  # noqa: B904 - the context is what this is about

    for hide in (True, False):
        try:
            fail(hide=hide)
        except Frozen as raised:
            text = codec.load_exception(codec.dump_exception(raised)).__cause__.text
        assert ("inner reason" in text) is not hide


def test_a_group_with_a_new_of_its_own_arrives() -> None:
    copy = travelled(Coded("several", [Slots(1)], 7))
    assert type(copy) is Coded
    assert (copy.message, copy.number, copy.exceptions[0].code) == ("several", 7, 1)


class Coded(ExceptionGroup):
    def __new__(cls, message: str, exceptions: list[Exception], number: int) -> Self:
        self = super().__new__(cls, message, exceptions)
        self.number = number
        return self

    def derive(self, exceptions: Any) -> Coded:
        return Coded(self.message, exceptions, self.number)


class Hopeless(Exception):
    def __reduce__(self) -> Any:
        return (Hopeless._make, ())

    @staticmethod
    def _make() -> None:
        raise SystemExit(3)


def test_what_can_be_rebuilt_in_no_way_is_a_remote_error() -> None:
    copy = travelled(Hopeless("text"))
    assert type(copy) is RemoteError
    assert copy.type_name.endswith("Hopeless")
    assert "Hopeless: text" in copy.traceback
