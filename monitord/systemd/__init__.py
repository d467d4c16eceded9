"""What a daemon says to the service manager and to the journal, and what it gets from them.

    environment.py   what the manager put into the environment, read once and taken out
    notify.py        readiness, reload, status, watchdog pings: datagrams to the manager
    watchdog.py      pings for as long as every pulse of the program moves
    sockets.py       listening sockets that the manager opened for us
    outlet.py        bytes out through a descriptor that may be full: never waits, counts what it drops
    journal.py       the journal's native protocol over an outlet
    stderr.py        readable lines on standard error over an outlet
    log.py           `logging` to one of the two

python-systemd gives the passed sockets and, in `monitord.journal`, reads the journal. Notices and journal entries are
sent by this package: `systemd.daemon.notify` and `systemd.journal.send` (235) wait while the queue of the receiver is
full, and hold the interpreter's lock meanwhile. With a receiver that paused for four seconds each took four seconds, in
which no other thread ran (11 datagrams fill a queue by the kernel's default, net.unix.max_dgram_qlen).
"""
