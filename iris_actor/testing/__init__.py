"""Testing: what programs that use iris_actor need for their own tests."""

from iris_actor.registry.etcd_process import EtcdProcess

__all__ = ["EtcdProcess"]
