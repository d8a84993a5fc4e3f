"""Command: a typer command that takes negative numbers for what they are, and help pages with examples."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_NEGATIVE = re.compile(r"-(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z")


class Command(TyperCommand):
    """A command whose arguments may be negative numbers: ``iris-actor call calculator.add 1 -2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `args`; no option of ours is a number, so what is one is an argument or a value."""
        end = args.index("--") if "--" in args else len(args)
        # A blank in front keeps the parser from looking for an option, and is nothing to JSON.
        shielded = [f" {arg}" if _NEGATIVE.match(arg) else arg for arg in args[:end]]
        return super().parse_args(ctx, [*shielded, *args[end:]])


class Group(TyperGroup):
    """The commands in the order in which they were added."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Names of the commands."""
        return list(self.commands)
