"""Launchers: what starts processes. The names here are what a launcher of one's own is written with."""

from iris_actor.work.launch.launch_spec import NUM_TASKS, TASK_INDEX, LaunchSpec
from iris_actor.work.launch.launcher import Launch, Launcher, LauncherTraits, StreamName
from iris_actor.work.launch.replica_status import Cause, ReplicaState, ReplicaStatus
from iris_actor.work.launch.resource_spec import ResourceSpec
from iris_actor.work.launch.start_errors import is_final

__all__ = [
    "Launcher",
    "LauncherTraits",
    "Launch",
    "LaunchSpec",
    "StreamName",
    "ReplicaState",
    "ReplicaStatus",
    "Cause",
    "ResourceSpec",
    "is_final",
    "TASK_INDEX",
    "NUM_TASKS",
]
