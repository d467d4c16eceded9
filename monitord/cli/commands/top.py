"""`monitorctl top`: the activity of the daemon and the worst monitors, repeatedly."""

import argparse
import time
from dataclasses import dataclass

from monitord.cli.client.connection import API
from monitord.cli.client.requests import client_of, fetch_monitors
from monitord.cli.command import Command, add_every_option
from monitord.cli.exit_status import EXIT_OK
from monitord.cli.output.tables import headline, monitor_rows
from monitord.cli.output.terminal import Screen, max_columns, size, wants_colour
from monitord.cli.output.wording import short_time, shorten
from monitord.cli.parsing import positive_number
from monitord.errors import ControlError
from monitord.model import Json
from monitord.text import counted, plain

MAX_PRINTED_LINES = 20
"""Lines of a view if it is printed and not shown in full screen."""


@dataclass(frozen=True, slots=True)
class CheckCount:
    """The number of checks since the start of the daemon, at a time of the monotonic clock."""

    at_s: float
    checks: int


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_every_option(parser)
    parser.add_argument(
        "-n", "--count", type=positive_number, metavar="N", help="Exit after this number of refreshes"
    )


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    previous: CheckCount | None = None
    refreshes = 0
    with Screen() as screen:
        while True:
            try:
                status, monitors = client.get(f"{API}/status"), fetch_monitors(client)
                count = CheckCount(time.monotonic(), status["checks"]["total"])
                rows = size().lines if screen.is_full else MAX_PRINTED_LINES
                lines = top_lines(status, monitors, rate=rate_of(previous, count), rows=rows)
                previous = count
            except ControlError as error:
                if screen.is_empty:
                    raise
                previous, lines = None, [f"monitorctl: {error}", "", "reconnecting; q quits"]
            screen.show(lines)
            refreshes += 1
            if refreshes == options.count or screen.wait(options.every).lower() == "q":
                return EXIT_OK


def rate_of(previous: CheckCount | None, current: CheckCount) -> float | None:
    """Return the checks per second; None if not known yet, or if the daemon has been restarted."""
    if previous is None or current.checks < previous.checks or current.at_s <= previous.at_s:
        return None
    return (current.checks - previous.checks) / (current.at_s - previous.at_s)


def top_lines(status: Json, monitors: list[Json], *, rate: float | None, rows: int) -> list[str]:
    columns = max_columns()
    checks, lateness, loop = status["checks"], status["checks"]["lateness_s"], status["event_loop"]
    history = status["history"]
    per_second = "" if rate is None else f"{rate:.1f}/s, "
    stored = f"{history['queued']} queued, {history['dropped']} dropped, {_mebibytes(history['size_bytes'])}"
    if history["error"] is not None:
        stored += f"; cannot be written: {plain(history['error'])}"
    lines = [
        *headline(status),
        f"checks: {per_second}{checks['in_flight']} running, {checks['queued_for_slot']} queued, "
        f"{checks['skipped']} skipped, {checks['abandoned']} abandoned",
        f"lateness: p50 {short_time(lateness['p50'])}, p99 {short_time(lateness['p99'])}, "
        f"max {short_time(lateness['max'])}; "
        f"event loop: {counted(loop['stalls'], 'stall')}, max {short_time(loop['max_lag_s'])}",
        f"history: {stored}; memory: peak {_mebibytes(status['memory_peak_bytes'])}",
        "",
    ]
    lines += monitor_rows(monitors, max_columns=columns, colour=wants_colour())[
        : max(1, rows - len(lines) - 1)
    ]
    # Rows of monitors fit already, and truncation would split their colours.
    return [line if "\x1b" in line else shorten(line, columns) for line in lines]


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"


TOP = Command("top", "Show the activity of the daemon; q quits", _run, _add_options)
