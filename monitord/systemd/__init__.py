"""Interfaces of a daemon to the service manager and the journal.

    environment.py   variables from the service manager
    notify.py        readiness, reload, status and watchdog pings
    watchdog.py      watchdog pings while all components make progress
    sockets.py       listening sockets from the service manager
    unit_names.py    unit names as systemctl(1) accepts them
    output_queue.py  non-blocking output with a bounded queue
    journal.py       the native protocol of the journal
    stderr.py        lines on standard error
    log.py           `logging` to the journal or to standard error

python-systemd returns the passed sockets and, in `monitord.journal`, reads the journal. Notifications and journal
entries are sent by this package: `systemd.daemon.notify` and `systemd.journal.send` (235) wait while the queue of the
receiver is full, and hold the interpreter lock while waiting. While a receiver paused for four seconds, each call took
four seconds, during which no other thread ran (11 datagrams fill a queue with the kernel's default
net.unix.max_dgram_qlen).
"""
