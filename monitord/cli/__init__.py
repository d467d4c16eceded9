"""The commands `monitord`, which runs the daemon, and `monitorctl`, its client."""
