"""The history: lateness of the event loop during writes, size and queries of two years, and losses by SIGKILL.

Rate: 1,000 results per second, each with its record and a state, some with an incident, and the same without a
database. Lateness is that of a timer of the event loop every 10 ms. Two years: 500 monitors every 30 s, written in
the order of time with the encoders of the daemon, then queried through its methods during further writes. SIGKILL: a
process that writes 1,000 results per second is killed at random times, repeatedly with one database.
"""

import argparse
import asyncio
import gc
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from bench.measure import markdown, mebibytes, memory_of, quantile, threads_waited_s, waited_s
from monitord.clock import SystemClock
from monitord.dispatch.saved import result_to_record
from monitord.history import History, HistorySettings
from monitord.history.encoding import IN_MAINTENANCE, pack_integers, pack_outcome, to_ms
from monitord.history.rollups import DAY_MS, HOUR_MS, MINUTE_MS
from monitord.history.store import Store
from monitord.history.summary import Summary
from monitord.model import Incident, Observation, Reason, Result, State, Verdict
from tests.history.killing import kill_and_inspect

RATE = 1000
TURNS_PER_S = 200
TICK_S = 0.01
STATE = {
    "health": "up",
    "since": "2026-01-01T00:00:00Z",
    "streak": 12,
    "results": ["GET / 200, 648 bytes, 0.067 s"] * 10,
}
GOAL_READ_S = 0.1
GOAL_BYTES = 1 << 30
YEARS_MS = 2 * 366 * DAY_MS
INCIDENT_EVERY_MS = 4 * DAY_MS
POOL = 300
"""Summaries of each kind to choose from, because generating a million of them would take too long."""


# At full rate


@dataclass(frozen=True)
class Ran:
    late_s: list[float]
    count: int
    written: int
    dropped: int
    max_commit_s: float
    size_bytes: int
    cpu_s: float
    waited_s: float
    memory_bytes: tuple[int, int]
    seconds: float


async def _run(path: Path | None, seconds: float) -> Ran:
    clock = SystemClock()
    history = History(path, HistorySettings(), clock)
    history.open()
    history.start()
    gc.collect()
    gc.freeze()
    pid = os.getpid()
    late: list[float] = []
    watching = asyncio.ensure_future(_watch(late, seconds))
    began, cpu, waited = time.monotonic(), time.process_time(), waited_s(pid)
    count = early = 0
    for turn in range(int(seconds * TURNS_PER_S)):
        for _ in range(RATE // TURNS_PER_S):
            _add(history, clock, count)
            count += 1
        if turn % (5 * TURNS_PER_S) == 0:
            history.tick(clock.now())
        if turn == int(seconds * TURNS_PER_S / 5):
            early = memory_of(pid).pss
        await asyncio.sleep(max(0.0, began + (turn + 1) / TURNS_PER_S - time.monotonic()))
    await watching
    cpu, waited, memory = time.process_time() - cpu, waited_s(pid) - waited, memory_of(pid).pss
    await history.close(30)
    stats = history.stats()
    return Ran(
        sorted(late),
        count,
        stats.written,
        stats.dropped,
        stats.max_commit_s,
        stats.size_bytes,
        cpu / seconds,
        waited / seconds,
        (early, memory),
        seconds,
    )


async def _watch(late: list[float], seconds: float) -> None:
    began = time.monotonic()
    for number in range(1, int(seconds / TICK_S)):
        due = began + number * TICK_S
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
            late.append(time.monotonic() - due)


def _add(history: History, clock: SystemClock, number: int) -> None:
    now = clock.now()
    monitor = f"m{number % 1000:04}"
    took_s = 0.05 + (number * 7919 % 1000) / 10_000
    fields = {"response_time": took_s, "phase.connect": took_s / 4, "phase.processing": took_s / 2}
    is_bad = number % 500 == 0
    observation = Observation(now, took_s, Reason.REFUSED if is_bad else Reason.OK, "GET / said so", fields)
    state = State.DOWN if is_bad else State.UP
    result = Result(observation, Verdict.FAIL if is_bad else Verdict.PASS)
    history.add_result(monitor, result, state, result_to_record(result))
    history.record_state(monitor, state, in_maintenance=False, at=now)
    history.save_state(monitor, STATE)
    if is_bad:
        history.add_incident(Incident(f"{monitor}-{number}", monitor, now, Reason.REFUSED, "no answer"))


def rate(minutes: float) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for title, path in (("no database", None), ("written", Path(name) / "history.db")):
            ran = asyncio.run(_run(path, minutes * 60))
            gc.unfreeze()
            rows.append(
                (
                    title,
                    ran.count,
                    ran.written,
                    ran.dropped,
                    *(f"{quantile(ran.late_s, share) * 1e3:.1f}" for share in (0.5, 0.99, 0.999, 1.0)),
                    f"{ran.max_commit_s * 1e3:.0f}",
                    f"{ran.cpu_s * 100:.0f}",
                    mebibytes(ran.size_bytes),
                    " → ".join(mebibytes(size) for size in ran.memory_bytes),
                    f"{ran.waited_s * 1e3:.1f}",
                )
            )
    heads = (
        f"{minutes:g} min at {RATE}/s",
        "results",
        "rows written",
        "dropped",
        "loop lateness p50, ms",
        "p99",
        "p99.9",
        "max",
        "longest commit, ms",
        "CPU, %",
        "database, MiB",
        "PSS after a fifth → at the end, MiB",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)


# Two years


def build(path: Path, monitors: int, rng: random.Random, now_ms: int) -> None:
    store = Store(path, HistorySettings(), is_first=True)
    connection = store.connection
    connection.execute("PRAGMA cache_size = -400000")
    for number in range(1, monitors + 1):
        connection.execute(
            "INSERT INTO monitors VALUES (?, ?, ?)",
            (number, f"m{number:04}", now_ms // MINUTE_MS * MINUTE_MS),
        )
    connection.executemany("INSERT INTO reasons VALUES (?, ?)", enumerate(("ok", "refused"), 1))
    everybody = range(1, monitors + 1)
    for level_s, step_ms, kept_ms, checks in (
        (86_400, DAY_MS, YEARS_MS, 2880),
        (3600, HOUR_MS, 30 * DAY_MS, 120),
        (60, MINUTE_MS, DAY_MS, 2),
    ):
        pool = [_summary(rng, checks).encode() for _ in range(POOL)]
        first_ms = (now_ms - kept_ms) // step_ms * step_ms
        _insert(
            store,
            "INSERT INTO rollups VALUES (?, ?, ?, ?)",
            (
                (level_s, monitor, at, rng.choice(pool))
                for at in range(first_ms, now_ms, step_ms)
                for monitor in everybody
            ),
        )
    _insert(store, "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", _results(monitors, rng, now_ms))
    for monitor in everybody:
        _insert(store, "INSERT INTO spans VALUES (?, ?, ?, ?)", _spans(monitor, now_ms))
        _insert(
            store,
            "INSERT INTO incidents VALUES (?, ?, ?, ?, 2, 'connection refused by 192.0.2.1', NULL, NULL, NULL)",
            (
                (f"{monitor}-{at}", monitor, at, at + 600_000)
                for at in range(now_ms - YEARS_MS + monitor * 1000, now_ms - DAY_MS, INCIDENT_EVERY_MS)
            ),
        )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('seen', ?)", (now_ms,))
    store.close()


def _insert(store: Store, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
    store.connection.execute("BEGIN")
    store.connection.executemany(statement, rows)
    store.connection.execute("COMMIT")


def _summary(rng: random.Random, checks: int) -> Summary:
    summary = Summary()
    base = rng.lognormvariate(11.5, 0.7)
    for _ in range(checks):
        duration_us = int(base * rng.lognormvariate(0, 0.25)) + 1
        if rng.random() < 0.01:
            duration_us *= rng.randrange(2, 20)
        parts = [duration_us // 50, duration_us // 8, duration_us // 4, duration_us // 2, duration_us // 20]
        summary.add(2 if rng.random() < 0.002 else 0, duration_us, parts)
    return summary


def _results(monitors: int, rng: random.Random, now_ms: int) -> Iterator[tuple[object, ...]]:
    good, bad = pack_outcome(0, 1, has_response=True), pack_outcome(2, 3, has_response=False)
    for at in range(now_ms - DAY_MS, now_ms - MINUTE_MS, 30_000):
        for monitor in range(1, monitors + 1):
            duration_us = int(rng.lognormvariate(11.5, 0.4))
            if rng.random() < 0.005:
                yield (
                    monitor,
                    at + monitor,
                    duration_us,
                    bad,
                    2,
                    None,
                    "connection refused by 192.0.2.1 port 443",
                )
            else:
                phases = pack_integers(
                    [
                        duration_us // 50,
                        duration_us // 8,
                        duration_us // 4,
                        duration_us // 2,
                        duration_us // 20,
                    ]
                )
                yield monitor, at + monitor, duration_us, good, 1, phases, None


def _spans(monitor: int, now_ms: int) -> Iterator[tuple[object, ...]]:
    """Up, down for ten minutes every fourth day, an hour of maintenance in between."""
    changes: list[tuple[int, int]] = []
    for at in range(now_ms - YEARS_MS + monitor * 1000, now_ms - HOUR_MS, INCIDENT_EVERY_MS):
        changes += [(at, 3), (at + 600_000, 1), (at + DAY_MS, 1 | IN_MAINTENANCE), (at + DAY_MS + HOUR_MS, 1)]
    changes = [change for change in changes if change[0] < now_ms]
    for (start, state), (until, _) in pairwise(changes):
        yield monitor, start, until, state
    yield monitor, changes[-1][0], None, changes[-1][1]


Query = Callable[[History, str], Awaitable[object]]


def queries(now: datetime, names: list[str]) -> dict[str, Query]:
    def ago(**parts: float) -> datetime:
        return now - timedelta(**parts)

    windows = [
        (ago(hours=1), now),
        (ago(days=1), now),
        (ago(days=7), now),
        (ago(days=30), now),
        (ago(days=90), now),
    ]
    named: dict[str, Query] = {
        "results, the last 20": lambda history, name: history.results(name),
        "results, 1,000": lambda history, name: history.results(name, limit=1000),
        "failed results, 20": lambda history, name: history.results(name, failed=True),
        "incidents of a monitor": lambda history, name: history.incidents(monitor=name),
        "incidents of all": lambda history, _: history.incidents(),
        "open incidents": lambda history, _: history.incidents(is_open=True),
        "calendar of 90 days": lambda history, name: history.days(name, 90),
        "calendar of two years": lambda history, name: history.days(name, 732),
        "uptime of a monitor in 5 windows": lambda history, name: history.uptimes([name], windows),
        f"uptime of {len(names)} monitors in 3 windows": lambda history, _: history.uptimes(
            names, windows[:3]
        ),
        "minutes of a day": lambda history, name: history.buckets(name, ago(hours=23.9), now, 60),
    }
    for title, span in (
        ("1 h", 1 / 24),
        ("24 h", 1),
        ("7 d", 7),
        ("30 d", 30),
        ("90 d", 90),
        ("two years", 732),
    ):
        named[f"chart of {title}"] = _chart(now - timedelta(days=span), now)
    return named


def _chart(start: datetime, end: datetime) -> Query:
    return lambda history, name: history.buckets(name, start, end)


async def _read(path: Path, monitors: int, rounds: int, rng: random.Random) -> str:
    clock = SystemClock()
    names = [f"m{number:04}" for number in range(1, monitors + 1)]
    opening = time.monotonic()
    history = History(path, HistorySettings(), clock)
    history.open()
    opening = time.monotonic() - opening
    history.start()
    is_over = asyncio.Event()
    writing = asyncio.ensure_future(_keep_writing(history, clock, monitors, is_over))
    rows = []
    for title, query in queries(clock.now(), names).items():
        took: list[float] = []
        had_core: list[float] = []
        cpu = time.process_time()
        for _ in range(rounds):
            began, waited = time.monotonic(), threads_waited_s(os.getpid())
            await query(history, rng.choice(names))
            took.append(time.monotonic() - began)
            had_core.append(took[-1] - (threads_waited_s(os.getpid()) - waited))
        cpu = (time.process_time() - cpu) / rounds
        took.sort()
        p99, p99_had_core = quantile(took, 0.99), quantile(sorted(had_core), 0.99)
        rows.append(
            (
                title,
                *(
                    f"{seconds * 1e3:.1f}"
                    for seconds in (cpu, quantile(took, 0.5), p99, took[-1], p99_had_core)
                ),
                "yes" if p99 < GOAL_READ_S else "NO",
            )
        )
    is_over.set()
    await writing
    await history.close(30)
    heads = (
        "query",
        "CPU, ms",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "p99 while it had a core, ms",
        "p99 < 100 ms",
    )
    table = markdown(heads, rows)
    size = os.stat(path).st_size  # noqa: PTH116 - nothing else runs on this loop
    goal = "yes" if size < GOAL_BYTES else "NO"
    return f"Database: {mebibytes(size)} MiB (below 1 GiB: {goal}); opened in {opening:.2f} s.\n\n{table}"


async def _keep_writing(history: History, clock: SystemClock, monitors: int, is_over: asyncio.Event) -> None:
    """Write results at the rate of the monitors."""
    number = 0
    while not is_over.is_set():
        _add(history, clock, number)
        number += 1
        await asyncio.sleep(30 / monitors)


def two_years(monitors: int, rounds: int, seed: int) -> str:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "history.db"
        now_ms = to_ms(SystemClock().now())
        build(path, monitors, rng, now_ms)
        return asyncio.run(_read(path, monitors, rounds, rng))


# SIGKILL


def kills(rounds: int, seed: int) -> str:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "history.db"
        remains = [kill_and_inspect(path, rng.uniform(0.0, 1.0), RATE) for _ in range(rounds)]
    ages = sorted(remain.age_s for remain in remains)
    heads = ("kills", "opened and complete", "results at the end", "lost before the kill: p50, ms", "max, ms")
    row = (
        rounds,
        len(remains),
        remains[-1].results,
        f"{quantile(ages, 0.5) * 1e3:.0f}",
        f"{ages[-1] * 1e3:.0f}",
    )
    return markdown(heads, [row])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=2.0, help="of 1,000 results per second")
    parser.add_argument("--monitors", type=int, default=500, help="in the database of two years")
    parser.add_argument("--reads", type=int, default=200, help="of each query")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20260101)


def main(options: argparse.Namespace) -> str:
    return "\n\n".join(
        (
            rate(options.minutes),
            f"### Two years of {options.monitors} monitors every 30 s\n\n"
            + two_years(options.monitors, options.reads, options.seed),
            "### SIGKILL\n\n" + kills(options.kills, options.seed),
        )
    )
