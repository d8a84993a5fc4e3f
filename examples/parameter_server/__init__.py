"""Parameter server: a learner, and rollout workers that pull weights from it and push gradients to it.

::

    python -m examples.parameter_server

Evolution strategies (Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement
Learning", 2017) teach a linear policy to balance a pole on a cart. The learner is an actor in a process of
its own; the workers are tasks on a `WorkerPool`, which are given the learner's handle as an argument. numpy
arrays travel as they are.
"""
