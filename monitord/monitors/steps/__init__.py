"""The monitor type `steps`."""
