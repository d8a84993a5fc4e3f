"""WorkerPool: the driver's side."""
