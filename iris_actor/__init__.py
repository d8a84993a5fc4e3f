"""iris_actor: call Python objects on other machines by name, and farm functions out to pools of workers.

Everything a user needs is here; errors are in `iris_actor.errors`, test helpers in `iris_actor.testing`.

Names are imported when they are first asked for: a worker process has no use for pools, nor a program that
only calls actors, and would pay for them with a third of its start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from iris_actor import errors
from iris_actor.version import __version__

if TYPE_CHECKING:
    from iris_actor.actor.balancer import Balancer
    from iris_actor.actor.broadcast import Broadcast, CallResult
    from iris_actor.actor.client import ActorClient
    from iris_actor.actor.context import CallContext, call_context, trace_context
    from iris_actor.actor.fixed_resolver import FixedResolver
    from iris_actor.actor.method import method
    from iris_actor.actor.pool import ActorPool
    from iris_actor.actor.registry_resolver import EtcdResolver, RegistryResolver
    from iris_actor.actor.resolve_result import ResolveResult
    from iris_actor.actor.resolver import Resolver
    from iris_actor.actor.result_stream import ResultStream
    from iris_actor.actor.server import ActorServer
    from iris_actor.codec import travel_by_value
    from iris_actor.naming import JobId
    from iris_actor.registry import connect_registry
    from iris_actor.registry.endpoint import ActorId, Endpoint
    from iris_actor.registry.registry import Registration, RegistrationState, Registry
    from iris_actor.rpc.credentials import Credentials
    from iris_actor.rpc.limits import Limits
    from iris_actor.work.client import IrisClient
    from iris_actor.work.context import IrisContext, get_iris_ctx, iris_ctx
    from iris_actor.work.launch.launcher import Launcher
    from iris_actor.work.launch.local.local_launcher import LocalLauncher
    from iris_actor.work.launch.resource_spec import ResourceSpec
    from iris_actor.work.pool.config import WorkerPoolConfig
    from iris_actor.work.pool.executor.task_executor import TaskExecutor
    from iris_actor.work.pool.executor.worker_pool import WorkerPool
    from iris_actor.work.pool.monitor.pool_status import PoolStatus
    from iris_actor.work.pool.payload.shared import Shared
    from iris_actor.work.pool.payload.task_future import TaskFuture

__all__ = [
    # serving
    "ActorServer",
    "method",
    "call_context",
    "CallContext",
    "trace_context",
    "Credentials",
    "Limits",
    # calling
    "ActorPool",
    "ActorClient",
    "Broadcast",
    "CallResult",
    "ResultStream",
    "Balancer",
    "travel_by_value",
    # finding
    "Resolver",
    "RegistryResolver",
    "EtcdResolver",
    "FixedResolver",
    "ResolveResult",
    "Registry",
    "Registration",
    "RegistrationState",
    "connect_registry",
    "Endpoint",
    "ActorId",
    "JobId",
    # farming out
    "WorkerPool",
    "WorkerPoolConfig",
    "ResourceSpec",
    "TaskExecutor",
    "TaskFuture",
    "Shared",
    "PoolStatus",
    "IrisClient",
    "IrisContext",
    "iris_ctx",
    "get_iris_ctx",
    "Launcher",
    "LocalLauncher",
    # the rest
    "errors",
    "__version__",
]

_HOMES = {
    name: f"{__name__}.{home}"
    for home, names in {
        "actor.balancer": "Balancer",
        "actor.broadcast": "Broadcast CallResult",
        "actor.client": "ActorClient",
        "actor.context": "CallContext call_context trace_context",
        "actor.fixed_resolver": "FixedResolver",
        "actor.method": "method",
        "actor.pool": "ActorPool",
        "actor.registry_resolver": "EtcdResolver RegistryResolver",
        "actor.resolve_result": "ResolveResult",
        "actor.resolver": "Resolver",
        "actor.result_stream": "ResultStream",
        "actor.server": "ActorServer",
        "codec": "travel_by_value",
        "naming": "JobId",
        "registry": "connect_registry",
        "registry.endpoint": "ActorId Endpoint",
        "registry.registry": "Registration RegistrationState Registry",
        "rpc.credentials": "Credentials",
        "rpc.limits": "Limits",
        "work.client": "IrisClient",
        "work.context": "IrisContext get_iris_ctx iris_ctx",
        "work.launch.launcher": "Launcher",
        "work.launch.local.local_launcher": "LocalLauncher",
        "work.launch.resource_spec": "ResourceSpec",
        "work.pool.config": "WorkerPoolConfig",
        "work.pool.monitor.pool_status": "PoolStatus",
        "work.pool.payload.shared": "Shared",
        "work.pool.executor.task_executor": "TaskExecutor",
        "work.pool.payload.task_future": "TaskFuture",
        "work.pool.executor.worker_pool": "WorkerPool",
    }.items()
    for name in names.split()
}
"""Where each name is defined."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
