"""The monitor type `http`."""
