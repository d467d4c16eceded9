"""`monitorctl report`: uptime, incidents and response times of a month, a week or another period.

The daemon builds and renders the report, so that it is the same as in an email.
"""

import argparse
import contextlib
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.cli.client.connection import API
from monitord.cli.client.requests import client_of
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.parsing import positive_number
from monitord.cli.selection import add_selection_options
from monitord.errors import ControlError
from monitord.units import parse_duration

TIMEOUT_S = 300.0
"""A report of 10,000 monitors takes several seconds on a slow disk, and waits for other reports."""

PATHS = {"text": f"{API}/report.txt", "html": f"{API}/report.html", "json": f"{API}/report"}
DEFAULT_MONITORS = 100


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_selection_options(parser, about="Only monitors with these names or patterns, such as 'db-*'")
    period = parser.add_mutually_exclusive_group()
    period.add_argument(
        "--month", type=_month, metavar="YYYY-MM", help="A calendar month (default: the last complete month)"
    )
    period.add_argument("--week", type=_week, metavar="YYYY-Www", help="An ISO 8601 week, such as 2026-W44")
    period.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="Start of another period: a time, or a duration up to now such as 7d",
    )
    parser.add_argument(
        "--until", type=_time, metavar="TIME", help="With --since: end of the period (default: now)"
    )
    parser.add_argument(
        "--time-zone",
        type=_zone,
        metavar="ZONE",
        help="Time zone, such as Europe/Berlin (default: TZ if it is set, otherwise that of the daemon)",
    )
    parser.add_argument(
        *("-n", "--max-monitors"),
        type=positive_number,
        default=DEFAULT_MONITORS,
        metavar="N",
        help=f"Maximum number of monitors that are listed (default: {DEFAULT_MONITORS})",
    )
    parser.add_argument("--format", choices=tuple(PATHS), default="text", help="Format (default: text)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="Write the report to this file")


def _run(options: argparse.Namespace) -> int:
    parser: argparse.ArgumentParser = options.parser
    if options.until is not None and options.since is None:
        parser.error("--until needs --since; write: --since START --until END")
    period = options.month or options.week or "month"
    if options.since is not None:
        now = datetime.now(UTC)
        start, end = _rfc3339(options.since, now), _rfc3339(options.until or timedelta(), now)
        if start >= end:
            parser.error(
                "the period does not end after its start; write an earlier --since or a later --until"
            )
        period = f"{start}/{end}"
    params: list[tuple[str, object]] = [("period", period), ("max_monitors", options.max_monitors)]
    # The time zone of the user, if TZ names one: other commands use it as well.
    zone = options.time_zone or os.environ.get("TZ", "").removeprefix(":")
    if zone and (options.time_zone or _is_zone(zone)):
        params.append(("time_zone", zone))
    params += [("monitor", name) for name in options.names]
    params += [("tag", tag) for tag in options.tag]
    path = PATHS["json" if options.json else options.format]
    report = b"".join(client_of(options).stream(path, params, timeout_s=TIMEOUT_S))
    if options.output is not None:
        try:
            options.output.write_bytes(report)
        except OSError as error:
            raise ControlError(
                f"{options.output}: cannot write the report: {error.strerror or error}"
            ) from None
        return EXIT_OK
    sys.stdout.flush()
    sys.stdout.buffer.write(report)
    sys.stdout.buffer.flush()
    return EXIT_OK


def _rfc3339(when: datetime | timedelta, now: datetime) -> str:
    moment = now - when if isinstance(when, timedelta) else when
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _month(text: str) -> str:
    if re.fullmatch(r"(19[789]\d|2[01]\d\d)-(0[1-9]|1[0-2])", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a month; write something like 2026-10")
    return text


def _week(text: str) -> str:
    if re.fullmatch(r"(19[789]\d|2[01]\d\d)-W(0[1-9]|[1-4]\d|5[0-3])", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a week; write something like 2026-W44")
    return text


def _is_zone(name: str) -> bool:
    # Imported only for this command, as the calendar events delay the start of all others.
    from monitord.calendar_events.zones import is_zone  # noqa: PLC0415

    return is_zone(name)


def _zone(text: str) -> str:
    if not _is_zone(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time zone of this host; write something like Europe/Berlin"
        )
    return text


def _time(text: str) -> datetime | timedelta:
    """Return a time in UTC, or an age. A time without zone is local time."""
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    try:
        return timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f'{text!r} is neither a time nor a duration; write 2026-01-31, "2026-01-31 18:00" or 7d'
        ) from None


REPORT = Command(
    "report",
    "Report uptime, incidents and response times of a month, a week or another period",
    _run,
    _add_options,
    has_json_option=True,
    details="Without a period, the last complete month is reported.",
)
