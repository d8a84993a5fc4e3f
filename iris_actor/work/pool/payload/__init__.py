"""What tasks are made of: functions, arguments, shared objects, futures."""
