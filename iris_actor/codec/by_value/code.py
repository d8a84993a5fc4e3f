"""Code objects by value: with the file and the lines that tracebacks speak of.

cloudpickle 3.1.3 gives code another file name, for the sake of pickles that are the same each time.
"""

from __future__ import annotations

import linecache
import os
from types import CodeType
from typing import Any


def reduce_code(code: CodeType) -> Any:
    """The reduction of `code`. Source that is in no file, as that of a notebook's cell, goes along."""
    arguments = (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_nlocals,
        code.co_stacksize,
        code.co_flags,
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_filename,
        code.co_name,
        code.co_qualname,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        code.co_freevars,
        code.co_cellvars,
    )
    lines = _lines_of_no_file(code.co_filename)
    return (CodeType, arguments) if lines is None else (_make_code, (lines, *arguments))


def _lines_of_no_file(filename: str) -> list[str] | None:
    entry = linecache.cache.get(filename)
    # Two fields: a source that can still be asked for. No modification time: it is not read from a file.
    if entry is None or len(entry) != 4 or entry[1] is not None or os.path.exists(filename):  # noqa: PTH110
        return None
    return entry[2]


def _make_code(lines: list[str], *arguments: Any) -> CodeType:
    code = CodeType(*arguments)
    name = code.co_filename
    if name not in linecache.cache:
        linecache.cache[name] = sum(map(len, lines)), None, lines, name
    return code
