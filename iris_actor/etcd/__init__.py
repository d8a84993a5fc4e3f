"""etcd: keys and bytes in one etcd. It knows nothing of what they mean."""
