"""Environment: what a job's variables say about where this process runs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any, Self

from iris_actor.address import Address
from iris_actor.errors import InvalidAddressError
from iris_actor.naming import DEFAULT_NAMESPACE, JobId, check_namespace

JOB_ID = "IRIS_JOB_ID"
REGISTRY = "IRIS_REGISTRY"
ADVERTISE_HOST = "IRIS_ADVERTISE_HOST"
TASK_INDEX = "IRIS_TASK_INDEX"
NUM_TASKS = "IRIS_NUM_TASKS"


@dataclass(frozen=True, slots=True)
class Environment:
    """The ``IRIS_*`` variables.

    Attributes:
        job_id: ``IRIS_JOB_ID``; None outside a job.
        registry: ``IRIS_REGISTRY``, a URL; None where it is not set.
        advertise_host: ``IRIS_ADVERTISE_HOST``, the name by which others reach this machine.
        task_index: ``IRIS_TASK_INDEX``, which replica this is, from 0.
        num_tasks: ``IRIS_NUM_TASKS``, how many replicas there are.
    """

    job_id: JobId | None
    registry: str | None
    advertise_host: str | None
    task_index: int
    num_tasks: int

    @classmethod
    def read(cls) -> Self:
        """The variables of this process, as they are now.

        Raises:
            ValueError: for a job id or a number that is none.
        """
        job_id = os.environ.get(JOB_ID)
        return cls(
            job_id=JobId(job_id) if job_id else None,
            registry=os.environ.get(REGISTRY) or None,
            advertise_host=os.environ.get(ADVERTISE_HOST) or None,
            task_index=_number(TASK_INDEX, 0),
            num_tasks=_number(NUM_TASKS, 1),
        )

    def namespace(self, given: str | None) -> str:
        """The namespace to use: the one `given`, else the job's, else the default one."""
        if given is not None:
            return check_namespace(given)
        return self.job_id.root if self.job_id else DEFAULT_NAMESPACE

    def advertised(self, bound: Address, given: str | None) -> str:
        """The host that others are told to connect to, for a server that binds `bound`.

        For a server on all interfaces it is this machine's name, if that leads here, else its address on the
        way to the outside.

        Args:
            bound: what the server binds.
            given: what the user wants others to be told; None takes ``IRIS_ADVERTISE_HOST``.

        Raises:
            InvalidAddressError: (a ValueError) what is to be told is no host, or no one that can be called.
        """
        told = self.advertise_host if given is None else given
        if told is None:
            return _own_host() if bound.is_wildcard else bound.host
        source = f"{ADVERTISE_HOST}: " if given is None else "advertise_host: "
        try:
            address = Address(told, bound.port)
        except InvalidAddressError as error:
            raise InvalidAddressError(told, source + error.rule) from None
        if address.is_wildcard:
            raise InvalidAddressError(told, f"{source}nobody can connect to the address of all interfaces")
        return address.host


def _own_host() -> str:
    name = socket.gethostname()
    try:
        address = Address(name, 0)
        if any(_is_here(info) for info in socket.getaddrinfo(name, 0, type=socket.SOCK_DGRAM)):
            return address.host
    except (InvalidAddressError, OSError):
        pass  # a container's name, which nobody resolves
    # Connecting a datagram socket sends nothing, and shows which way packets would go. The addresses are from
    # the ranges for documentation (RFC 5737, RFC 3849).
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect((far, 9))
                return str(way.getsockname()[0])
        except OSError:
            continue
    return "localhost"


def _is_here(info: tuple[Any, ...]) -> bool:
    family, kind, _, _, where = info
    try:
        with socket.socket(family, kind) as own:
            own.bind(where)
    except OSError:
        return False
    return True


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"{variable} must be a number from 0, got {text!r}")
    return number
