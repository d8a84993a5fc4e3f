"""Work: pools of workers, and the launchers that start their processes."""
