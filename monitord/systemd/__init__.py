"""What a daemon says to the service manager and to the journal, and what it gets from them.

    environment.py   what the manager put into the environment, read once and taken out
    notify.py        readiness, reload, status, watchdog pings: datagrams to the manager
    watchdog.py      pings for as long as every pulse of the program moves
    sockets.py       listening sockets that the manager opened for us
    outlet.py        bytes out through a descriptor that may be full: never waits, counts what it drops
    journal.py       the journal's native protocol over an outlet
    stderr.py        readable lines on standard error over an outlet
    log.py           `logging` to one of the two

What is said is spoken here and not by python-systemd 235 for three reasons. Its calls block: `journal.send`
for good while journald stands still. It unsets variables in the C environment only, so that child processes
still inherit them from `os.environ`. And it reads the process's own environment, which no test can hand it.
"""
