"""The two commands: `monitord` runs the daemon, `monitorctl` asks it. Thin; what they do lies below."""
