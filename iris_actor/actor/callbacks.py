"""The thread that runs done callbacks, so that none of them can hold up the I/O thread."""

from iris_actor.rpc.serial_thread import SerialThread

_thread = SerialThread("iris-callbacks")

run_callback = _thread.run
"""Call a function in the thread of callbacks, after those handed over before."""

is_callback_thread = _thread.is_current
"""Whether this is the thread of callbacks, which must not wait for what it is to do itself."""
