"""SIGKILL in outages, while receivers fail half of the time: is every alert opened and closed there, and none lost?

The targets of 20 monitors go down and up all the time. The daemon is killed and started again 100 times, sometimes
before it is ready. A webhook and a substitute for Alertmanager fail at every second request: they respond with 500,
reset the connection, or do not respond; half of the failed requests are processed nevertheless. Responses take up to
half a second. Then all targets stay up and the daemon runs, with receivers that still fail, until nothing is queued.

The moments, the outages and the failures follow from the seed, but not their interleaving. An outage counts as seen if
a target responded with 503 to a check two seconds before a kill or earlier. On a busy machine, some of these checks are
inconclusive, because the event loop was stalled; they are counted separately.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from bench.measure import markdown
from bench.processes import END_DEADLINE_S, ROOT, START_DEADLINE_S, Launch, journal_sink, launch
from monitord.cli.client.connection import Client
from monitord.errors import ControlError
from tests.servers import Peer, Request, serve

OUTAGE_S = (1.0, 8.0)
START_S = (0.0, 1.5)
SHORT_LIFE_S = (0.0, 4.0)
LONG_LIFE_S = (4.0, 10.0)
"""Long enough for a failed message to be retried."""
KILLED_AT_START, LONG_LIVES = 0.1, 0.25
"""The ratios of kills that do not wait for READY=1, and of long lives."""
SEEN_BEFORE_KILL_S = 2.0
"""Until then, the incident of a failed check must have been stored, even on a busy machine."""
MAX_RESPONSE_S = 0.5
"""Some kills come between the processing of a request and its response."""
SETTLE_WITHIN_S = 420.0
POLL_S = 0.05
CLOSING = frozenset({"recovery", "closed"})


class Outcome(Enum):
    """The behaviour of a receiver. The first of each pair has processed the request."""

    ACCEPTED = "accepted"
    ERROR_AFTER = "500 after processing"
    ERROR_BEFORE = "500"
    RESET_AFTER = "reset after processing"
    RESET_BEFORE = "reset"
    SILENT_AFTER = "no response after processing"
    SILENT_BEFORE = "no response"

    @property
    def is_processed(self) -> bool:
        return self in {Outcome.ACCEPTED, Outcome.ERROR_AFTER, Outcome.RESET_AFTER, Outcome.SILENT_AFTER}


FAILURES = tuple(outcome for outcome in Outcome if outcome is not Outcome.ACCEPTED)


class Targets:
    """Servers that go down and up. `failed_at`: the wall times at which each has responded with 503."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._rngs = [random.Random(rng.random()) for _ in range(count)]
        self._is_down = [False] * count
        self._changes_at_s = [0.0] * count
        self.failed_at: list[list[datetime]] = [[] for _ in range(count)]
        self.is_settled = False

    def is_down(self, number: int) -> bool:
        if self.is_settled:
            return False
        now_s = time.monotonic()
        while self._changes_at_s[number] <= now_s:
            begins_s = self._changes_at_s[number] or now_s
            self._changes_at_s[number] = begins_s + self._rngs[number].uniform(*OUTAGE_S)
            self._is_down[number] = not self._is_down[number]
        return self._is_down[number]

    async def answer(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number = int((await peer.request()).target.removeprefix("/"))
                if self.is_down(number):
                    await peer.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                    self.failed_at[number].append(datetime.now(UTC))
                else:
                    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@dataclass
class Receiver:
    """A receiver that fails at this ratio of requests. `processed`: the others in their order, with the wall time."""

    rng: random.Random
    failure_ratio: float = 0.5
    processed: list[tuple[datetime, Request]] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    async def answer(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await peer.request()
                outcome = (
                    self.rng.choice(FAILURES) if self.rng.random() < self.failure_ratio else Outcome.ACCEPTED
                )
                self.outcomes[outcome] += 1
                if outcome.is_processed:
                    self.processed.append((datetime.now(UTC), request))
                await asyncio.sleep(self.rng.uniform(0.0, MAX_RESPONSE_S))
                if outcome is Outcome.ACCEPTED:
                    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                elif outcome in {Outcome.ERROR_AFTER, Outcome.ERROR_BEFORE}:
                    await peer.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
                elif outcome in {Outcome.RESET_AFTER, Outcome.RESET_BEFORE}:
                    peer.reset()
                    return
                else:
                    await peer.reader.read()  # until the daemon closes the connection


def configuration(monitors: int, targets: int, hook: int, alertmanager: int) -> str:
    common = 'group_wait = "200ms"\ntimeout = "1s"\nmax_messages_per_minute = 600'
    return "\n".join(
        [
            '[auto]\nignore = ["host:*", "unit:*"]',
            '[defaults]\ncheck_every = "2s"\nretry_every = "1s"\ntimeout = "2s"\nfail_after = 1\nflapping = false',
            f"[limits]\nmax_concurrent_per_host = {monitors}",
            *(
                f'[monitors.m{number:03}]\nurl = "http://127.0.0.1:{targets}/{number}"\nup_when = ["status == 200"]'
                for number in range(monitors)
            ),
            f'[notifiers.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:{hook}/"\n{common}',
            f'[notifiers.am]\ntype = "alertmanager"\nurl = "http://127.0.0.1:{alertmanager}"\n{common}',
        ]
    )


class Lives:
    """Starts the daemon, and kills it after a time. `errors`: what it has written to standard error."""

    def __init__(self, prepared: Launch) -> None:
        self._prepared = prepared
        self.killed_at: list[datetime] = []
        self._is_ready = asyncio.Event()
        self.ready = 0

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[subprocess.Popen[bytes]]:
        self._is_ready.clear()
        with self._prepared.errors.open("ab") as errors:
            process = subprocess.Popen(  # noqa: ASYNC220 - fork takes a millisecond
                list(map(str, self._prepared.command)),
                cwd=ROOT,
                env={**os.environ, **self._prepared.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        draining = asyncio.ensure_future(self._drain(process))
        try:
            yield process
        finally:
            draining.cancel()
            process.kill()
            process.wait(END_DEADLINE_S)
            self._read_notifications()

    async def _drain(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            self._read_notifications()
            await asyncio.sleep(POLL_S)
        self._is_ready.set()

    def _read_notifications(self) -> None:
        """Read them as the service manager does."""
        if "READY=1" in self._prepared.manager.drain():
            self._is_ready.set()
            self.ready += 1

    async def kill(self, rng: random.Random) -> None:
        """Start the daemon, and kill it at a random moment."""
        kind = rng.random()
        is_at_start = kind < KILLED_AT_START
        is_long = kind > 1.0 - LONG_LIVES
        seconds = rng.uniform(*(START_S if is_at_start else LONG_LIFE_S if is_long else SHORT_LIFE_S))
        async with self.life() as process:
            if not is_at_start:
                await asyncio.wait_for(self._is_ready.wait(), START_DEADLINE_S)
            await asyncio.sleep(seconds)
            if process.poll() is not None:
                raise RuntimeError(f"the daemon has ended with status {process.returncode}: {self.errors}")
            self.killed_at.append(datetime.now(UTC))

    @property
    def errors(self) -> str:
        return self._prepared.errors.read_text(errors="replace")


@dataclass(frozen=True)
class Stored:
    """The history at the end: all incidents, and the times of inconclusive results by monitor."""

    incidents: list[dict[str, Any]]
    inconclusive_at: dict[str, list[datetime]]


async def settle(lives: Lives, prepared: Launch, monitors: int) -> Stored:
    """Run the daemon until all monitors are up and nothing is queued."""
    client = Client(prepared.socket_path)
    deadline_s = time.monotonic() + SETTLE_WITHIN_S
    async with lives.life() as process:
        while True:
            assert process.poll() is None, lives.errors
            with contextlib.suppress(ControlError):
                status = await asyncio.to_thread(client.get, "/status")
                notifiers = (await asyncio.to_thread(client.get, "/api/v1/notifiers"))["notifiers"]
                if status["monitors"]["up"] == monitors and not any(
                    notifier["queued"] for notifier in notifiers
                ):
                    break
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not settled within {SETTLE_WITHIN_S:.0f} s: {notifiers}")
            await asyncio.sleep(1.0)
        # Longer than the interval in which the last state is committed.
        await asyncio.sleep(1.0)
        incidents = await asyncio.to_thread(all_incidents, client)
        inconclusive_at = await asyncio.to_thread(all_inconclusive, client, monitors)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, END_DEADLINE_S)
    return Stored(incidents, inconclusive_at)


def all_incidents(client: Client) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    before = ""
    while True:
        page = client.get(f"/api/v1/incidents?limit=500{before}")
        found |= {incident["id"]: incident for incident in page["incidents"]}
        if page["next_before"] is None:
            return list(found.values())
        before = f"&before={page['next_before']}"


def all_inconclusive(client: Client, monitors: int) -> dict[str, list[datetime]]:
    found = {}
    for name in (f"m{number:03}" for number in range(monitors)):
        results = client.get(f"/api/v1/monitors/{name}/results?limit=1000")["results"]
        found[name] = [
            datetime.fromisoformat(result["at"]) for result in results if result["verdict"] == "inconclusive"
        ]
    return found


async def trial(folder: Path, journal: Path, monitors: int, kills: int, seed: int) -> str:
    rng = random.Random(seed)
    targets = Targets(monitors, rng)
    hook, alertmanager = Receiver(random.Random(rng.random())), Receiver(random.Random(rng.random()))
    began_s = time.monotonic()
    async with (
        serve(targets.answer) as target_server,
        serve(hook.answer) as hook_server,
        serve(alertmanager.answer) as alertmanager_server,
    ):
        config = configuration(monitors, target_server.port, hook_server.port, alertmanager_server.port)
        with launch(folder / "daemon", config, journal=journal) as prepared:
            lives = Lives(prepared)
            for _ in range(kills):
                await lives.kill(rng)
            ready, killing_s = lives.ready, time.monotonic() - began_s
            targets.is_settled = True
            stored = await settle(lives, prepared, monitors)
    settling_s = time.monotonic() - began_s - killing_s
    rows = [
        ("kills; of these after READY", f"{kills}; {ready}", ""),
        ("seconds of killing; until everything was delivered", f"{killing_s:.0f}; {settling_s:.0f}", ""),
        ("requests to the webhook; to Alertmanager", f"{_requests(hook)}; {_requests(alertmanager)}", ""),
        *_of_daemon(lives, stored.incidents),
        *_of_webhook(hook, stored, targets, lives),
        *_of_alertmanager(alertmanager, stored.incidents),
    ]
    return f"Seed {seed}.\n\n{markdown(('value', 'measured', 'goal'), rows)}"


Row = tuple[str, object, object]


def _requests(receiver: Receiver) -> str:
    return f"{receiver.outcomes.total()}, of which {receiver.outcomes[Outcome.ACCEPTED]} accepted"


def _of_daemon(lives: Lives, incidents: list[dict[str, Any]]) -> list[Row]:
    still_open = [incident["id"] for incident in incidents if incident["closed_at"] is None]
    return [
        ("lines on standard error", _shown(lives.errors.splitlines()), 0),
        ("incidents in the history", len(incidents), ""),
        ("incidents that are still open", _shown(still_open), 0),
    ]


def _of_webhook(hook: Receiver, stored: Stored, targets: Targets, lives: Lives) -> list[Row]:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    keys_of: dict[str, set[str]] = defaultdict(set)
    opened: dict[str, set[str]] = defaultdict(set)
    closed: dict[str, set[str]] = defaultdict(set)
    wrong_order = []
    periods: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for _, request in hook.processed:
        key = request.headers["idempotency-key"]
        is_duplicate = key in bodies
        bodies[key].add(request.body)
        for notification in json.loads(request.body)["notifications"]:
            keys_of[notification["id"]].add(key)
            alert = notification["alert"]
            is_closing = notification["kind"] in CLOSING
            if not is_duplicate and (alert in opened) is not is_closing:
                wrong_order.append(alert)
            (closed if is_closing else opened)[alert].add(notification["id"])
            if is_closing:
                started_at = datetime.fromisoformat(notification["started_at"])
                ended_at = started_at + timedelta(seconds=notification["duration_s"])
                periods[notification["monitor"]].append((started_at, ended_at))
    ids = {incident["id"] for incident in stored.incidents}
    seen, inconclusive, uncovered = _outages(targets, lives, stored, periods)
    return [
        ("webhook: alerts opened; closed", f"{len(opened)}; {len(closed)}", f"{len(ids)}; {len(ids)}"),
        ("webhook: incidents that were not opened", _shown(ids - opened.keys()), 0),
        ("webhook: alerts opened and not closed", _shown(opened.keys() - closed.keys()), 0),
        ("webhook: alerts without an incident", _shown(opened.keys() - ids), 0),
        (
            "webhook: alerts opened or closed by two notifications",
            _shown([alert for found in (opened, closed) for alert, made in found.items() if len(made) > 1]),
            0,
        ),
        ("webhook: alerts opened twice, or closed before they were opened", _shown(wrong_order), 0),
        ("webhook: messages processed; different keys", f"{len(hook.processed)}; {len(bodies)}", ""),
        (
            "webhook: notifications under two keys",
            _shown([number for number, keys in keys_of.items() if len(keys) > 1]),
            0,
        ),
        (
            "webhook: keys with two different messages",
            _shown([key for key, found in bodies.items() if len(found) > 1]),
            0,
        ),
        (
            f"failed checks {SEEN_BEFORE_KILL_S:g} s or more before a kill; outside all alerts and inconclusive",
            f"{seen}; {inconclusive}",
            "",
        ),
        ("webhook: other failed checks outside all alerts", _shown(uncovered), 0),
    ]


def _outages(
    targets: Targets,
    lives: Lives,
    stored: Stored,
    periods: dict[str, list[tuple[datetime, datetime]]],
) -> tuple[int, int, list[str]]:
    """Return the number of failed checks that must be stored, and those outside all alerts: inconclusive, others."""
    seen, inconclusive, uncovered = 0, 0, []
    tolerance = timedelta(seconds=SEEN_BEFORE_KILL_S)
    for number, failed_at in enumerate(targets.failed_at):
        name = f"m{number:03}"
        for at in failed_at:
            killed_at = next((killed for killed in lives.killed_at if killed > at), None)
            if killed_at is not None and killed_at - at < tolerance:
                continue
            seen += 1
            if any(start - tolerance <= at <= end + tolerance for start, end in periods[name]):
                continue
            if any(abs(at - checked_at) <= tolerance for checked_at in stored.inconclusive_at[name]):
                inconclusive += 1
            else:
                uncovered.append(f"{name} at {at:%H:%M:%S}")
    return seen, inconclusive, uncovered


def _of_alertmanager(receiver: Receiver, incidents: list[dict[str, Any]]) -> list[Row]:
    """Alertmanager keeps the last end of each alert, which is identified by its labels."""
    ends_at: dict[str, datetime] = {}
    fired: set[tuple[str, datetime]] = set()
    for at, request in receiver.processed:
        for alert in json.loads(request.body):
            end = datetime.fromisoformat(alert["endsAt"])
            ends_at[json.dumps(alert["labels"], sort_keys=True)] = end
            if end > at:
                fired.add((alert["labels"]["monitor"], datetime.fromisoformat(alert["startsAt"])))
    not_fired = [
        incident["id"]
        for incident in incidents
        if (incident["monitor"], datetime.fromisoformat(incident["opened_at"])) not in fired
    ]
    still_firing = [labels for labels, end in ends_at.items() if end > datetime.now(UTC)]
    return [
        ("Alertmanager: incidents without a firing alert", _shown(not_fired), 0),
        ("Alertmanager: alerts that are still firing", _shown(still_firing), 0),
    ]


def _shown(found: Iterable[object]) -> str:
    """The number of faults, and the first of them."""
    faults = sorted(map(str, found))
    return f"{len(faults)}: {', '.join(faults[:3])}" if faults else "0"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--monitors", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20261130)


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name, journal_sink(Path(name)) as journal:
        return asyncio.run(trial(Path(name), journal, options.monitors, options.kills, options.seed))
