"""The entry point of `monitord`: preparations before the imports, which take most of the time of a start.

SIGHUP is blocked. A reload by `kill -HUP` or logrotate during the start would otherwise end the process (signal(7)).
The signal stays pending until `daemon.command` has installed its handler.

The cyclic garbage collector is disabled until the daemon is ready. Nearly all objects of a start live until the end,
and with 10,000 monitors the collector would traverse them dozens of times: 15 % of the CPU time of the start.
"""

import gc
import signal


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    gc.disable()
    from monitord.cli.daemon.command import main as run  # noqa: PLC0415 - see above

    return run()
