"""Access control of the daemon, and the parsing of requests and formatting of errors."""
