"""The monitor type `exec`."""
