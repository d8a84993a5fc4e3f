"""Codec: Python objects to bodies and back, exceptions with their traceback at the far side.

A `Body` is what travels: the pickle stream, and beside it the large buffers (numpy arrays, bytes and the
like), unsplit and uncopied.

Three picklers, tried from the cheapest: plain `pickle.dumps` where the value is an atom; the C pickler, which
asks us only about objects that are no builtin containers; and cloudpickle, once something turns up that must
travel by value. Nothing else in this project imports cloudpickle.

::

    values      dumps, loads              arguments   those of a call      exceptions   with their traceback
       │            each tries
       ├─ plain_pickler                   what the far side can import travels by name
       └─ by_value/                       the rest travels with its code
       │            both write into a
       └─ stream ─▶ body                  that takes large bytes out
"""

from iris_actor.codec.arguments import dump_arguments, load_arguments, load_result
from iris_actor.codec.body import EMPTY, NONE, ONE_PIECE, OUT_OF_BAND, Body
from iris_actor.codec.by_value.modules import travel_by_value, travels_by_value
from iris_actor.codec.exceptions import dump_exception, load_exception
from iris_actor.codec.json_text import dump_json, load_json
from iris_actor.codec.texts import exception_text
from iris_actor.codec.values import dumps, loads

__all__ = [
    "EMPTY",
    "NONE",
    "ONE_PIECE",
    "OUT_OF_BAND",
    "Body",
    "dump_arguments",
    "dump_exception",
    "dump_json",
    "dumps",
    "exception_text",
    "load_arguments",
    "load_exception",
    "load_json",
    "load_result",
    "loads",
    "travel_by_value",
    "travels_by_value",
]
