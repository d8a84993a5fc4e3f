"""Testing: what programs that use iris_actor need for their own tests."""

from iris_actor.etcd.process.etcd_process import EtcdProcess

__all__ = ["EtcdProcess"]
