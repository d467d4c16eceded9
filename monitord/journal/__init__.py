"""Reading the journal: the reader on python-systemd, the process that runs it, and the feed from that process."""
