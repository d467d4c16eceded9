"""CPU time and memory of a replay: the results of several days against a configuration with another `fail_after`.

One check in 3,000 begins an outage of one to six failures. Both configurations have reminders and a maintenance window.
"""

import argparse
import logging
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.measure import markdown, mebibytes, memory_of
from monitord.history.database import open_for_writing
from monitord.history.encoding import (
    STATE_CODES,
    VERDICT_CODES,
    pack_integers,
    pack_outcome,
    to_ms,
)
from monitord.history.recorded import RecordedHistory
from monitord.model import Reason, State, Verdict
from monitord.replay import plan_of, replay
from monitord.settings import Settings, read_settings

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_MS = 30_000
RETRY_MS = 10_000
OUTAGES_PER_CHECK = 1 / 3000
MAX_FAILURES = 6

OTHERS = """
[notifiers.ops]
type = "webhook"
url = "http://127.0.0.1:1/"
[[alerts.routes]]
notify = "ops"
repeat_every = "1h"
[maintenance.update]
monitors = ["m1"]
schedule = "Sun 03:00"
duration = "1h"
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=100)
    parser.add_argument("--days", type=float, default=7.0)


def main(options: Any) -> str:
    logging.disable(logging.CRITICAL)
    try:
        return _measure(options.monitors, START + timedelta(days=options.days))
    finally:
        logging.disable(logging.NOTSET)


def _measure(monitors: int, end: datetime) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "history.sqlite3"
        _write(path, monitors, end)
        current = _settings(folder / "current.toml", monitors, "")
        new = _settings(folder / "new.toml", monitors, "[defaults]\nfail_after = 4\n")
        with closing(RecordedHistory(path)) as history:
            recorded = history.periods(START, end)
            for label, settings in (("current", current), ("new", new)):
                before_s = time.process_time()
                plan = plan_of(current, settings, recorded)
                outcome = replay(plan, history.results(START, end), START, end)
                cpu_s = time.process_time() - before_s
                rows.append(
                    (
                        label,
                        f"{outcome.results:,}",
                        len(outcome.alerts),
                        len(outcome.notifications),
                        f"{cpu_s:.0f}",
                        f"{cpu_s / outcome.results * 1e6:.0f}",
                        mebibytes(memory_of(os.getpid()).peak_rss),
                    )
                )
    head = (
        "configuration",
        "results",
        "alerts",
        "notifications",
        "CPU, s",
        "CPU per result, µs",
        "peak RSS, MiB",
    )
    return markdown(head, rows)


def _settings(config: Path, monitors: int, defaults: str) -> Settings:
    sections = (
        f'[monitors.m{number}]\ntype = "tcp"\naddress = "192.0.2.1:{number + 1}"\n'
        for number in range(monitors)
    )
    config.write_text(f"{defaults}{''.join(sections)}{OTHERS}")
    return read_settings(config)


def _write(path: Path, monitors: int, end: datetime) -> None:
    with closing(open_for_writing(path)) as connection:
        connection.execute("BEGIN")
        reasons = ((1, Reason.OK.value), (2, Reason.REFUSED.value))
        connection.executemany("INSERT INTO reasons (id, name) VALUES (?, ?)", reasons)
        for number in range(monitors):
            connection.execute("INSERT INTO monitors (id, name) VALUES (?, ?)", (number, f"m{number}"))
            connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", _results(number, end))
        connection.execute("COMMIT")


def _results(number: int, end: datetime) -> Iterator[tuple[object, ...]]:
    source = random.Random(number)
    phases = pack_integers([1000, 2000, 3000, 4000, 500])
    at_ms, failures = to_ms(START) + number * 300, 0
    while at_ms < to_ms(end):
        if not failures and source.random() < OUTAGES_PER_CHECK:
            failures = source.randint(1, MAX_FAILURES)
        verdict = Verdict.FAIL if failures else Verdict.PASS
        outcome = pack_outcome(VERDICT_CODES[verdict], STATE_CODES[State.UP], has_response=not failures)
        duration_us = 20_000 + source.randint(0, 40_000)
        detail = "connection refused" if failures else None
        yield number, at_ms, duration_us, outcome, 2 if failures else 1, None if failures else phases, detail
        at_ms += RETRY_MS if failures else EVERY_MS
        failures = max(0, failures - 1)
