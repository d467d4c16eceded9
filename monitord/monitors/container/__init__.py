"""The monitor type `container`."""
