"""Start the learner and the workers, wait until the pole stands, and show how the learning went."""

from __future__ import annotations

from examples.actor_process import start_actor
from examples.parameter_server.cart_pole import MAX_STEPS
from examples.parameter_server.learner import GOOD, Learner
from examples.parameter_server.rollout import rollout
from iris_actor import IrisClient, WorkerPool

WORKERS = 2


def main() -> None:
    """Run it all on this machine."""
    with (
        IrisClient.local(namespace="demo") as client,
        WorkerPool(client, num_workers=WORKERS) as workers,
    ):
        start_actor(client, "examples.parameter_server.learner:Learner", "learner")
        learner = client.resolver.lookup("learner", Learner)
        futures = [workers.submit(rollout, learner, seed) for seed in range(WORKERS)]
        pushed = [future.result(timeout=120) for future in futures]
        curve = learner.call(timeout=30).curve()
    for update in sorted({0, *range(0, len(curve), max(1, len(curve) // 10)), len(curve) - 1}):
        bar = "#" * round(40 * curve[update] / MAX_STEPS)
        print(f"update {update:3d}  mean return {curve[update]:5.1f}  {bar}")
    print(f"gradients of each worker: {pushed}")
    assert curve[-1] >= GOOD, f"not learned: {curve[-1]}"
    assert sum(pushed) >= len(curve) - 1


if __name__ == "__main__":
    main()
