"""The command line: a parser whose wrong usage is EX_USAGE, and the types of what stands in it."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from monitord.cli.exits import EXIT_USAGE
from monitord.model import WORST_FIRST
from monitord.text import did_you_mean
from monitord.units import parse_duration

STATES = tuple(health.value for health in WORST_FIRST)


class Parser(argparse.ArgumentParser):
    """Says what is wrong, and ends with 64."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def state(text: str) -> str:
    if text not in STATES:
        hint = did_you_mean(text, STATES) or f"write one of: {', '.join(STATES)}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a state; {hint}")
    return text


def positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def duration(text: str) -> float:
    """Seconds."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def some_duration(text: str) -> float:
    seconds = duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; write something like 2h")
    return seconds


def moment_to_come(text: str) -> datetime:
    """On the clock of who writes it: "18:00" is the next one, "2026-01-31 18:00" a day's; a zone may be named."""
    now = datetime.now(UTC)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = _next_time_of_day(text, now)
    try:
        return read.astimezone(UTC)
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is out of range; write a year from 1970 to 9998"
        ) from None


def _next_time_of_day(text: str, now: datetime) -> datetime:
    try:
        clock = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - only a time of day
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a time; write 18:00, "2026-01-31 18:00" or 2026-01-31T18:00:00Z'
        ) from None
    here = now.astimezone()
    # Without a zone, so that a day of 23 hours has its 18:00 at 18:00.
    next_one = datetime.combine(here.date(), clock)
    if next_one.astimezone() <= here:
        next_one += timedelta(days=1)
    return next_one.astimezone()
