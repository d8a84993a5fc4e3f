"""What a pool decides: which task goes where, who is started, who is ended. Pure.

Nothing here has a thread, a lock, a clock, a socket or a future: events and `now` go in, actions come out.
`Scheduler` is the door; `iris_actor.work.pool.engine` stands around it.
"""
