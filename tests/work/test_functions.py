from __future__ import annotations

import functools
import gc
import os
import threading

import pytest

from iris_actor.errors import SerializationError
from iris_actor.work.pool.payload.functions import UNKNOWN, Functions


def test_a_function_is_known_again_and_captured_once() -> None:
    functions = Functions()
    assert functions.find(os.getpid) is functions.find(os.getpid)
    assert functions.find(os.getpid) is not functions.find(os.getppid)


def test_a_closure_is_captured_anew_when_its_variable_is_bound_anew() -> None:
    functions = Functions()
    value = [1]

    def use() -> list[int]:
        return value

    first = functions.find(use)
    value.append(2)
    assert functions.find(use) is first, "a change inside is not noticed, as documented"
    value = [1, 2]
    second = functions.find(use)
    assert second is not first
    assert functions.find(use) is second


def test_functions_that_call_each_other_are_understood() -> None:
    functions = Functions()

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n > 0 and even(n - 1)

    first = functions.find(even)
    assert functions.find(even) is first
    old = odd

    def odd(n: int) -> bool:  # type: ignore[no-redef]
        return old(n)

    assert functions.find(even) is not first


def test_a_function_that_nobody_holds_is_forgotten() -> None:
    functions = Functions()

    def use() -> int:
        return 3

    number = functions.find(use).id
    assert not functions.definitions.forgotten
    del use
    gc.collect()
    assert list(functions.definitions.forgotten) == [number]


def test_methods_travel_with_their_object_each_time() -> None:
    functions = Functions()
    items: list[int] = []
    assert functions.find(items.append).id == 0
    assert functions.find(threading.Event().set) is functions.find(threading.Event().set), "for its duration"


def test_the_expected_duration_follows_what_was_measured() -> None:
    function = Functions().find(abs)
    assert function.mean == UNKNOWN
    function.measured(1.0)
    assert function.mean == 1.0
    function.measured(2.0)
    assert 1.0 < function.mean < 2.0


def test_what_cannot_be_captured_is_an_error() -> None:
    lock = threading.Lock()
    with pytest.raises(SerializationError):
        Functions().find(lambda: lock)


def test_the_variable_for_which_a_function_does_not_pickle_is_named() -> None:
    guard = threading.Lock()

    def inner() -> bool:
        return guard.locked()

    def outer() -> bool:
        return inner()

    for function in (outer, functools.lru_cache(outer)):
        with pytest.raises(SerializationError) as caught:
            Functions().find(function)
        text = str(caught.value)
        assert "inner'" in text
        assert "'guard' does not pickle" in text
        assert "cannot pickle '_thread.lock' object" in text
        assert isinstance(caught.value.__cause__, TypeError)


def test_a_function_behind_a_cache_is_captured_once_and_anew_when_a_variable_of_it_is() -> None:
    functions = Functions()
    value = 1

    @functools.lru_cache
    def use() -> int:
        return value

    def caller() -> int:
        return use()

    first, calling = functions.find(use), functions.find(caller)
    assert first.id > 0, "it is sent to a worker once, and its cache stays there"
    assert functions.find(use) is first
    assert functions.find(caller) is calling
    value = 2
    assert functions.find(use) is not first
    assert functions.find(caller) is not calling


def test_modules_of_the_standard_library_and_installed_ones_never_travel_by_value() -> None:
    functions = Functions()
    assert not functions.send_by_value("os.path")
    assert not functions.send_by_value("pytest")
    assert not functions.send_by_value("no.such.module")
