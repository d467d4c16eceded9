"""The monitor type `heartbeat`."""
