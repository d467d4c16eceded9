"""The monitor types `unit` and `timer`."""
