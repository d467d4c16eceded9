"""The parser of command lines, and the types of their arguments."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from monitord.cli.exit_status import EXIT_USAGE
from monitord.model import WORST_FIRST
from monitord.text import did_you_mean
from monitord.units import parse_duration

STATES = tuple(state.value for state in WORST_FIRST)


class CommandLineParser(argparse.ArgumentParser):
    """A parser that ends the process with EX_USAGE (sysexits.h) after a usage error."""

    def __init__(self, *, add_help: bool = True, **options: Any) -> None:
        super().__init__(add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        if add_help:
            self.add_argument("-h", "--help", action="help", help="Show this help")

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def state(text: str) -> str:
    if text not in STATES:
        hint = did_you_mean(text, STATES) or f"write one of: {', '.join(STATES)}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a state; {hint}")
    return text


def positive_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number; write something like 20")
    return int(text)


def duration(text: str) -> float:
    """Return seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def positive_duration(text: str) -> float:
    """Return seconds."""
    seconds = duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is zero; write something like 2h")
    return seconds


def future_time(text: str) -> datetime:
    """Return the time in UTC. A time of day means its next occurrence; a time without zone is local time."""
    now = datetime.now(UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = _next_time_of_day(text, now)
    try:
        return time.astimezone(UTC)
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is out of range; write a year from 1970 to 9998"
        ) from None


def _next_time_of_day(text: str, now: datetime) -> datetime:
    try:
        time_of_day = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - only a time of day
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a time; write 18:00, "2026-01-31 18:00" or 2026-01-31T18:00:00Z'
        ) from None
    local_now = now.astimezone()
    # Without a zone, so that 18:00 is 18:00 on a day of 23 hours as well.
    next_time = datetime.combine(local_now.date(), time_of_day)
    if next_time.astimezone() <= local_now:
        next_time += timedelta(days=1)
    return next_time.astimezone()
