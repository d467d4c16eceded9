"""`monitord`: read the configuration, open the log, run the daemon. Exit statuses are those of sysexits.h.

0 stopped as asked, 1 something could not be opened, 64 wrong usage, 78 the configuration is refused.
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
from monitord.cli.daemon.service_user import see_as_service
from monitord.cli.daemon.turned_away import turn_away
from monitord.cli.parsing import Parser
from monitord.config import Reader
from monitord.daemon import Daemon
from monitord.errors import ConfigError, StartError
from monitord.journal_events import JournalEvent
from monitord.settings import Settings, read_settings
from monitord.systemd.environment import ServiceEnvironment, passed_descriptors
from monitord.systemd.log import Log, open_log
from monitord.text import counted

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78

log = logging.getLogger("monitord")


class _EarlySignals:
    """Signals that come before the event loop listens for them: SIGHUP is kept, a stop is a stop."""

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
        return check_config(config, see_as_service(config))
    # The watchdog ends a daemon that hangs by SIGABRT: its stack is worth more than a core.
    faulthandler.enable()
    signals = _EarlySignals()
    service = ServiceEnvironment.take(os.environ, passed_descriptors)
    with open_log(
        service, identifier="monitord", lost_message_id=JournalEvent.LOG_MESSAGES_LOST.message_id
    ) as opened:
        try:
            settings = read_settings(config, is_start=True)
        except ConfigError as error:
            _say_refused(error)
            turn_away(service, str(error))
            return EXIT_CONFIG
        logging.getLogger().setLevel(settings.log.level.number)
        container = ApplicationContainer(settings, config, service)
        try:
            _run(container, opened, signals)
        except StartError as error:
            log.error("%s", error, extra={"message_id": JournalEvent.START_FAILED.message_id})  # noqa: TRY400 - told in words
            return EXIT_FAILED
        except KeyboardInterrupt:
            return EXIT_OK
    return EXIT_OK


def check_config(config: Path, reader: Reader) -> int:
    """Print every diagnostic that this reader can see, or that there is none."""
    try:
        settings = read_settings(config, reader=reader)
    except ConfigError as error:
        print(error)
        print(f"{config}: {counted(len(error.diagnostics), 'diagnostic')}", file=sys.stderr)
        return EXIT_FAILED
    for warning in settings.warnings:
        print(warning.as_warning())
    print(_verdict(config, settings))
    return EXIT_OK


def _verdict(config: Path, settings: Settings) -> str:
    rate = f"{settings.checks_per_second:.3g} checks a second"
    warnings = f", {counted(len(settings.warnings), 'warning')}" if settings.warnings else ""
    return f"{config}: good; {counted(len(settings.monitors), 'monitor')}, {rate}{warnings}"


def _say_refused(error: ConfigError) -> None:
    for diagnostic in error.diagnostics:
        log.error("%s", diagnostic, extra={"message_id": JournalEvent.START_REJECTED.message_id})


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="monitord", description="Monitor web endpoints and more; see monitord(8).")
    parser.add_argument(
        "--config",
        type=Path,
        default=paths.CONFIG,
        metavar="FILE",
        help=f"configuration (default: {paths.CONFIG})",
    )
    parser.add_argument(
        "--check-config", action="store_true", help="check the configuration and exit: 0 good, 1 not"
    )
    parser.add_argument("--version", action="version", version=f"monitord {__version__}")
    return parser


def _run(container: ApplicationContainer, opened: Log, signals: _EarlySignals) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        opened.attach(loop)
        try:
            runner.run(Daemon(container).run(lambda: signals.wants_reload))
        finally:
            opened.detach()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed: the same semantics with less CPU."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - used when present

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return None
