"""Sweep: hyperparameters of several model families on scikit-learn's digits, on a pool of workers.

::

    python -m examples.sweep                # or: make demo

Several processes, and no file between them::

    driver ── submit(evaluate, config) ══► WorkerPool: worker-0, worker-1, ...
      │  ▲                                      │ started, finished (found by name)
      │  └────── results ═══════════════════════╡
      └─ attempts ═════════════════════► tracker actor, in a process of its own
                        etcd says who is where

In the middle of it the driver kills a worker with SIGKILL, while that runs a task. The pool replaces the
worker and runs the task again, and every result arrives. In the end: a table of the best configurations,
what became of the killed worker's task, and a picture of it all.
"""
