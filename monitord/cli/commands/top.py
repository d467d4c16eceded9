"""`monitorctl top`: the daemon at work, again and again: the worst monitors first, and how it keeps up."""

import argparse
import time
from dataclasses import dataclass

from monitord.cli.client.asking import client_of, monitors
from monitord.cli.client.connection import API
from monitord.cli.command import Command
from monitord.cli.exits import EXIT_OK
from monitord.cli.output.tables import headline, monitor_rows
from monitord.cli.output.terminal import Screen, room, size, wants_colour
from monitord.cli.output.wording import short_time, shorten
from monitord.cli.parsing import positive, some_duration
from monitord.errors import ControlError
from monitord.model import Json

EVERY_S = 2.0
ROWS_ELSEWHERE = 20
"""Monitors that are shown where there is no full screen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The counter of checks at a moment, to tell the rate until the next look."""

    at_s: float
    checks: int


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every", type=some_duration, default=EVERY_S, metavar="DURATION", help="look so often (default: 2s)"
    )
    parser.add_argument("-n", "--count", type=positive, metavar="N", help="end after N looks")


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    before: Seen | None = None
    looks = 0
    with Screen() as screen:
        while True:
            try:
                status, found = client.get(f"{API}/status"), monitors(client)
                seen = Seen(time.monotonic(), status["checks"]["total"])
                lines = top_lines(status, found, rate=rate_of(before, seen), rows=_rows(screen))
                before = seen
            except ControlError as error:
                if screen.is_empty:
                    raise
                before, lines = None, [f"monitorctl: {error}", "", "looking again; q ends"]
            screen.show(lines)
            looks += 1
            if looks == options.count or screen.wait(options.every).lower() == "q":
                return EXIT_OK


def rate_of(before: Seen | None, now: Seen) -> float | None:
    """Checks a second. None: not known yet, or the daemon has started anew."""
    if before is None or now.checks < before.checks or now.at_s <= before.at_s:
        return None
    return (now.checks - before.checks) / (now.at_s - before.at_s)


def _rows(screen: Screen) -> int:
    return size().lines if screen.is_full else ROWS_ELSEWHERE


def top_lines(status: Json, found: list[Json], *, rate: float | None, rows: int) -> list[str]:
    columns = room()
    lines = [*headline(status), *_at_work(status, rate), ""]
    lines += monitor_rows(found, room=columns, colour=wants_colour())[: max(1, rows - len(lines) - 1)]
    # Those of monitors have their colours, and fit where there is room for a table.
    return [line if "\x1b" in line else shorten(line, columns) for line in lines]


def _at_work(status: Json, rate: float | None) -> list[str]:
    checks, late, loop = status["checks"], status["checks"]["lateness_s"], status["event_loop"]
    per_second = "-" if rate is None else f"{rate:.1f}"
    history = status["history"]
    kept = f"{history['queued']} queued, {history['dropped']} dropped, {_mebibytes(history['size_bytes'])}"
    if history["error"] is not None:
        kept += f"; cannot be written: {history['error']}"
    return [
        f"checks {per_second}/s, {checks['in_flight']} in flight, {checks['queued_for_slot']} waiting, "
        f"{checks['skipped']} skipped, {checks['abandoned']} abandoned",
        f"late p50 {short_time(late['p50'])}, p99 {short_time(late['p99'])}, max {short_time(late['max'])}; "
        f"event loop {loop['stalls']} stalls, worst {short_time(loop['max_lag_s'])}",
        f"history {kept}; memory {_mebibytes(status['memory_peak_bytes'])} at most",
    ]


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"


TOP = Command("top", "the daemon at work, the worst monitors first; q ends", _run, _add_options)
