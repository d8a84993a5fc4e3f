"""Testing: what programs that use iris_actor need for their own tests."""

from iris_actor.etcd.process.etcd_process import EtcdProcess
from iris_actor.testing.launcher_contract import LauncherContract
from iris_actor.testing.pretend_launcher import PretendLauncher

__all__ = ["EtcdProcess", "LauncherContract", "PretendLauncher"]
