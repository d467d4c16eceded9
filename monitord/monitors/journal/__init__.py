"""The monitor type `journal`."""
