"""The command `monitord`."""
