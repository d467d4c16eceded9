"""The entry point of `monitord`. SIGHUP is blocked before the imports that make up most of a start.

A reload that is asked for meanwhile, by `kill -HUP` or logrotate, would otherwise end the process (signal(7)). It stays
pending until `daemon.command` has its handler.
"""

import signal


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from monitord.cli.daemon.command import main as run  # noqa: PLC0415 - see above

    return run()
