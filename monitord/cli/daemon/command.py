"""`monitord`: read the configuration, open the log, run the daemon.

Exit statuses: 0 stopped by SIGTERM or SIGINT, 1 the start has failed, 64 usage error, 78 the configuration is rejected
(sysexits.h).
"""

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from monitord import __version__, paths
from monitord.application import ApplicationContainer
from monitord.cli.daemon.service_user import drop_privileges_to_service_user
from monitord.cli.daemon.waiting_clients import answer_waiting_clients
from monitord.cli.parsing import CommandLineParser
from monitord.config import ConfigAccess
from monitord.daemon import Daemon
from monitord.errors import ConfigError, StartError
from monitord.journal_events import JournalEvent
from monitord.settings import read_settings
from monitord.systemd.environment import ServiceEnvironment, passed_descriptors
from monitord.systemd.log import Log, open_log
from monitord.text import counted

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78

MIN_RATE_PER_SECOND = 0.01
"""A lower rate of checks is shown per hour."""

EXIT_STATUSES = """\
exit status:
  0    Stopped by SIGTERM or SIGINT; --check-config: the configuration is valid
  1    A socket or the state directory could not be opened; --check-config: the configuration is rejected
  64   Usage error
  78   The configuration is rejected

See monitord(8) and monitord.toml(5)."""

log = logging.getLogger("monitord")


class _EarlySignals:
    """Handlers of signals until the event loop has its own: SIGHUP requests a reload after the start."""

    def __init__(self) -> None:
        self.wants_reload = False
        signal.signal(signal.SIGHUP, self._on_hangup)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see `start`
        signal.signal(signal.SIGTERM, self._on_stop)

    def _on_hangup(self, _: int, __: FrameType | None) -> None:
        self.wants_reload = True

    def _on_stop(self, _: int, __: FrameType | None) -> None:
        raise SystemExit(EXIT_OK)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    config: Path = options.config
    if options.check_config:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        return check_config(config, drop_privileges_to_service_user(config))
    # The watchdog ends a daemon that hangs by SIGABRT: print the stack.
    faulthandler.enable()
    signals = _EarlySignals()
    service = ServiceEnvironment.take(os.environ, passed_descriptors)
    with open_log(
        service, identifier="monitord", lost_message_id=JournalEvent.LOG_MESSAGES_LOST.message_id
    ) as opened:
        try:
            settings = read_settings(config, is_start=True)
        except ConfigError as error:
            for diagnostic in error.diagnostics:
                log.error("%s", diagnostic, extra={"message_id": JournalEvent.START_REJECTED.message_id})  # noqa: TRY400 - a message without traceback
            answer_waiting_clients(service, str(error))
            return EXIT_CONFIG
        logging.getLogger().setLevel(settings.log.level.number)
        container = ApplicationContainer(settings, config, service)
        try:
            _run(container, opened, signals)
        except StartError as error:
            log.error("%s", error, extra={"message_id": JournalEvent.START_FAILED.message_id})  # noqa: TRY400 - a message without traceback
            return EXIT_FAILED
        except KeyboardInterrupt:
            return EXIT_OK
    return EXIT_OK


def rate_text(per_second: float) -> str:
    """ "0.25 checks per second", or per hour if that number is too small to read."""
    is_readable = per_second >= MIN_RATE_PER_SECOND or not per_second
    number, unit = (per_second, "second") if is_readable else (per_second * 3600, "hour")
    shown = f"{number:.3g}"
    return f"{shown} check{'' if shown == '1' else 's'} per {unit}"


def check_config(config: Path, access: ConfigAccess) -> int:
    """Print all errors and warnings that a process with this access can find. Return the exit status."""
    try:
        settings = read_settings(config, access=access)
    except ConfigError as error:
        print(error)
        print(f"{config}: rejected; {counted(len(error.diagnostics), 'error')}", file=sys.stderr)
        return EXIT_FAILED
    for warning in settings.warnings:
        print(warning.as_warning())
    rate = rate_text(settings.checks_per_second)
    warnings = f", {counted(len(settings.warnings), 'warning')}" if settings.warnings else ""
    sources = len(settings.sources.sources)
    automatic = f", {counted(sources, 'source')} of automatic monitors, not queried" if sources else ""
    print(f"{config}: valid; {counted(len(settings.monitors), 'monitor')}, {rate}{automatic}{warnings}")
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = CommandLineParser(
        prog="monitord",
        description="Run the monitoring daemon in the foreground.",
        epilog=EXIT_STATUSES,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=paths.CONFIG,
        metavar="FILE",
        help=f"Main configuration file (default: {paths.CONFIG})",
    )
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="Check the configuration and exit: status 0 if it is valid, otherwise 1",
    )
    parser.add_argument(
        "--version", action="version", version=f"monitord {__version__}", help="Show the version"
    )
    return parser


def _run(container: ApplicationContainer, opened: Log, signals: _EarlySignals) -> None:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - optional; it needs less CPU time

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        opened.attach(loop)
        try:
            runner.run(Daemon(container).run(lambda: signals.wants_reload))
        finally:
            opened.detach()
