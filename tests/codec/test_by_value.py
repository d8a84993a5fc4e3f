"""What travels with its code: rebuilt in another process, and in this one."""

from __future__ import annotations

import contextvars
import enum
import functools
import gc
import json
import linecache
import pickle
import subprocess
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from iris_actor import codec, travel_by_value
from iris_actor.errors import SerializationError


def roundtrip(value: Any) -> Any:
    return codec.loads(codec.dumps(value))


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], types.ModuleType]:
    """Runs source as the module ``__main__``."""

    def run(source: str) -> types.ModuleType:
        module = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        exec(compile(source, "<main>", "exec"), module.__dict__)
        return module

    return run


ELSEWHERE = """
import sys
from iris_actor import codec
function, args = codec.loads(codec.Body(sys.stdin.buffer.read()))
sys.stdout.buffer.write(bytes(codec.dumps([function(*each) for each in args]).data))
"""


def elsewhere(function: Callable[..., Any], *args: tuple[Any, ...]) -> list[Any]:
    """What `function` returns in another process for each of `args`; they travel together."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=bytes(codec.dumps((function, args)).data),
        capture_output=True,
        check=True,
    )
    return codec.loads(codec.Body(done.stdout))


COUNTER = """
class Counter:
    made = 0
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def method(self): return FACTOR
    @classmethod
    def create(cls, x):
        cls.made += 1
        return cls(x)
FACTOR = 3
def make(x): return Counter.create(x)
"""


def test_what_comes_back_leaves_the_class_here_as_it_is(main: Any) -> None:
    module = main(COUNTER)
    before = dict(vars(module.Counter))
    (back,) = elsewhere(module.make, (5,))
    assert type(back) is module.Counter
    assert back.x == 5
    assert dict(vars(module.Counter)) == before
    module.FACTOR = 4
    assert back.method() == 4, "its methods use the variables of this process"


def test_a_copy_of_a_class_is_filled_once_for_each_state_that_it_had_where_it_is_from(main: Any) -> None:
    module = main(COUNTER)
    script = """
import sys, pickle
from iris_actor import codec
seen = []
for data in pickle.load(sys.stdin.buffer):
    made = codec.loads(codec.Body(data))
    cls = type(made)
    seen.append((cls.made, id(cls.method)))
    cls.made += 100
print([number for number, _ in seen], len({method for _, method in seen[:2]}))
"""
    counter = module.Counter(1)
    bodies = [bytes(codec.dumps(counter).data), bytes(codec.dumps([counter][0]).data)]
    module.Counter.made = 7
    bodies.append(bytes(codec.dumps(counter).data))
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(bodies),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "[0, 100, 7] 1"


def test_threads_that_come_upon_a_class_at_once_all_get_it_whole(main: Any) -> None:
    methods = "".join(f"    def method{number}(self): return {number}\n" for number in range(100))
    source = f"""
import contextvars
CURRENT = contextvars.ContextVar("current", default=7)
class Large:
{methods}
    def z(self): return CURRENT.get()
"""
    bodies = [bytes(codec.dumps(main(source).Large()).data) for _ in range(20)]
    script = """
import sys, pickle, threading
from concurrent.futures import ThreadPoolExecutor
from iris_actor import codec
sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
def load(data):
    start.wait()
    large = codec.loads(codec.Body(data))
    return type(large), type(large).z.__globals__["CURRENT"], large.z() + large.method99()
with ThreadPoolExecutor(8) as threads:
    for data in pickle.load(sys.stdin.buffer):
        classes, variables, sums = map(set, zip(*threads.map(load, [data] * 8)))
        assert (len(classes), len(variables), sums) == (1, 1, {106}), (classes, variables, sums)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=pickle.dumps(bodies), capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_an_exceptions_trial_at_the_side_that_packs_leaves_its_class_as_it_is(main: Any) -> None:
    module = main("""
class Custom(Exception):
    seen = 0
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b
    def __setstate__(self, state):
        self.__dict__.update(state)
""")
    before = dict(vars(module.Custom))
    copy = codec.load_exception(codec.dump_exception(module.Custom(1, 2)))
    assert (type(copy), copy.b) == (module.Custom, 2)
    assert dict(vars(module.Custom)) == before


def test_a_cached_function_has_an_empty_cache_and_its_parameters_elsewhere(main: Any) -> None:
    module = main("""
import functools
@functools.lru_cache(maxsize=3, typed=True)
def square(n): return n * n
def look(n): return square(n), square(n), tuple(square.cache_info()), square.cache_parameters()
""")
    module.square(2)
    (outcome,) = elsewhere(module.look, (2,))
    assert outcome == (4, 4, (1, 1, 3, 1), {"maxsize": 3, "typed": True})


def test_a_cached_function_that_can_be_imported_travels_by_its_name() -> None:
    assert roundtrip([functools.partial(linecache.getline), json.dumps])[1] is json.dumps
    module = types.ModuleType("importable_here")
    sys.modules[module.__name__] = module
    try:
        exec("import functools\n@functools.cache\ndef cached(n): return n", module.__dict__)
        assert roundtrip(module.cached) is module.cached
        assert roundtrip(lambda: module.cached)() is module.cached
    finally:
        del sys.modules[module.__name__]


def test_a_cached_method_of_a_local_class_travels() -> None:
    class Local:
        @functools.lru_cache  # noqa: B019
        def double(self, x: int) -> int:
            return 2 * x

    assert roundtrip(Local()).double(3) == 6


def test_context_variables_thread_locals_and_sentinels_are_the_same_in_every_pickle(main: Any) -> None:
    module = main("""
import contextvars, threading
current = contextvars.ContextVar("current", default=1)
local = threading.local()
class Missing:
    def __reduce__(self): return "MISSING"
MISSING = Missing()
def change(): current.set(5); local.x = 6
def look(default=MISSING): return current.get(), local.x, default is MISSING
""")
    script = """
import sys, pickle
from iris_actor import codec
change, look, missing = [codec.loads(codec.Body(data)) for data in pickle.load(sys.stdin.buffer)]
change()
print(*look(), *look(missing))
"""
    values = (module.change, module.look, module.MISSING)
    data = pickle.dumps([bytes(codec.dumps(value).data) for value in values])
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    assert done.stdout.split() == [b"5", b"6", b"True"] * 2
    assert roundtrip([module.current, module.local, module.MISSING]) == [
        module.current,
        module.local,
        module.MISSING,
    ]


def test_what_has_travelled_is_collected_when_nobody_uses_it_any_more() -> None:
    def travel() -> weakref.ref[Any]:
        local = threading.local()
        copy = roundtrip(lambda: local)
        assert copy() is local
        return weakref.ref(local)

    gone = travel()
    gc.collect()
    assert gone() is None


def test_a_context_variable_without_default_has_none_elsewhere() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("bare")

    def look() -> Any:
        return variable.get("nothing"), variable.name

    assert elsewhere(look, ()) == [("nothing", "bare")]


def test_members_of_a_local_enum_are_the_ones_of_here_when_they_come_back() -> None:
    class Color(enum.Enum):
        RED = 1
        GREEN = 2
        CRIMSON = RED

        def opposite(self) -> Color:
            return Color.GREEN if self is Color.RED else Color.RED

    before = dict(vars(Color))
    assert elsewhere(Color.opposite, (Color.RED,), (Color.GREEN,)) == [Color.GREEN, Color.RED]
    assert dict(vars(Color)) == before


def test_classes_of_a_module_that_travels_by_value_keep_slots(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "only_slots_here.py").write_text("class Point:\n    __slots__ = ('x',)\nHERE = Point()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_slots_here

    travel_by_value(only_slots_here)
    try:
        point = only_slots_here.Point()
        point.x = 3

        def look(value: Any) -> Any:
            return value, hasattr(value, "__dict__")

        ((back, has_dict),) = elsewhere(look, (point,))
        assert type(back) is only_slots_here.Point
        assert (back.x, has_dict) == (3, False)
    finally:
        cloudpickle.unregister_pickle_by_value(only_slots_here)


def _traceback_of(function: Callable[[], Any]) -> str:
    try:
        function()
    except ZeroDivisionError as error:
        return str(codec.load_exception(codec.dump_exception(error)).__cause__)
    raise AssertionError("it did not fail")


def test_code_that_travels_keeps_its_file_and_line() -> None:
    class Local:
        def method(self) -> float:
            return 1 / 0  # a method

    def outer() -> float:
        def inner() -> float:
            return 1 / 0  # nested

        return inner()

    shown = lambda: 1 / 0  # noqa: E731 # a lambda
    for function, line in ((Local().method, "# a method"), (outer, "# nested"), (shown, "# a lambda")):
        copy = roundtrip(function)
        text = _traceback_of(copy)
        assert f'File "{__file__}", line ' in text
        assert line in text
        assert "dynamic-code" not in text


def test_code_that_is_in_no_file_takes_its_lines_along(main: Any) -> None:
    source = "def ratio(a, b):\n    return a / b  # a cell\n"
    name = "/nowhere/ipykernel_1/23.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        module = types.ModuleType("__main__")
        exec(compile(source, name, "exec"), module.__dict__)

        def show(function: Any) -> str:
            try:
                function(1, 0)
            except ZeroDivisionError:
                return traceback.format_exc()
            return ""

        (text,) = elsewhere(show, (module.ratio,))
        assert f'File "{name}", line 2, in ratio' in text
        assert "return a / b  # a cell" in text
    finally:
        del linecache.cache[name]


def test_lines_of_a_file_that_is_there_stay_where_they_are() -> None:
    linecache.getlines(__file__)
    assert b"a sentence that is only here" not in bytes(codec.dumps(lambda: 1).data)


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock, threading.Event])
def test_what_belongs_to_one_process_does_not_travel(make: Callable[[], Any]) -> None:
    lock = make()
    with pytest.raises(SerializationError, match=r"(?i)lock"):
        codec.dumps(lambda: lock)
