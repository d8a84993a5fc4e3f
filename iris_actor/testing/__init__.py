"""testing: a real etcd for tests and development."""

from iris_actor.registry.etcd_process import EtcdProcess

__all__ = ["EtcdProcess"]
