"""One module a noun: functions of a connection, returning results."""
