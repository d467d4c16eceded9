"""The monitor type `clock`."""
