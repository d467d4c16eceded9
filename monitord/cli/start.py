"""The entry point of `monitord`: what has to be done before the imports that make up most of a start.

SIGHUP is blocked. A reload that is asked for meanwhile, by `kill -HUP` or logrotate, would otherwise end the process
(signal(7)). It stays pending until `daemon.command` has its handler.

The cyclic garbage collector is off until the daemon is ready. Nearly all that a start makes is there to stay, and with
10,000 monitors the collector would go through it dozens of times: 15 % of the CPU time of the start.
"""

import gc
import signal


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    gc.disable()
    from monitord.cli.daemon.command import main as run  # noqa: PLC0415 - see above

    return run()
