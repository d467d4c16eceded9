"""Notifications: time from the deciding check to the webhook, and 5,000 transitions a minute; a channel hangs.

Latency: 1,000 monitors every 10 s, of which five per second go down or up. From the response that decides to the
arrival of the whole request at a webhook with `group_wait = "0s"`; alternately without and with a second webhook that
never responds. The target and the receivers are in one process; its own lateness is included. On a busy machine,
compare the time without that in which threads of the two processes were runnable but had no core.

Storm: every check of the 1,000 monitors finds another state, for one minute. One webhook gets ten messages per second,
one has the default limits, and one does not respond until the end of the minute. Each of them must get the problem and
the recovery of every incident in the history.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crashes import CLOSING, all_incidents
from bench.measure import markdown, mebibytes, memory_of, milliseconds, quantile, threads_waited_s, waited_s
from bench.processes import Daemon, daemon, journal_sink
from tests.servers import Peer, serve

MONITORS = 1000
LATENCY_EVERY_S = 10
CHANGES_PER_S = 5.0
STORM_EVERY_S = 12
"""With a change at each check: 5,000 a minute."""
GOAL_S = 0.1
SETTLE_WITHIN_S = 120.0
DRAIN_WITHIN_S = 600.0
POLL_S = 0.5

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Targets:
    """A server whose target changes its state at a request with the probability `change_ratio`.

    `waited_s` returns for how long the processes that are measured had no core; it is taken at each change.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._down: set[int] = set()
        self.change_ratio = 0.0
        self.is_settled = False
        self.waited_s: Callable[[], float] = lambda: 0.0
        self.changed_at_s: dict[int, tuple[float, float]] = {}
        self.changes = 0

    async def answer(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                number = int((await peer.request()).target.removeprefix("/"))
                was_down = number in self._down
                is_down = not self.is_settled and was_down is not (self._rng.random() < self.change_ratio)
                if is_down is not was_down:
                    self._down ^= {number}
                    self.changes += 1
                    self.changed_at_s[number] = time.monotonic(), self.waited_s()
                await peer.send(UNAVAILABLE if is_down else OK)


@dataclass
class Hook:
    """A webhook. `opened` and `closed`: the number of messages with this notification, by alert."""

    targets: Targets
    is_hanging: bool = False
    requests: int = 0
    latencies_s: list[float] = field(default_factory=list)
    latencies_with_core_s: list[float] = field(default_factory=list)
    opened: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)

    async def answer(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await peer.request()
                arrived_at_s, waited_s = time.monotonic(), self.targets.waited_s()
                self.requests += 1
                if self.is_hanging:
                    await peer.reader.read()  # until the daemon closes the connection
                    return
                for notification in json.loads(request.body)["notifications"]:
                    number = int(notification["monitor"].removeprefix("m"))
                    changed_at_s, waited_before_s = self.targets.changed_at_s[number]
                    self.latencies_s.append(arrived_at_s - changed_at_s)
                    self.latencies_with_core_s.append(self.latencies_s[-1] - (waited_s - waited_before_s))
                    is_closing = notification["kind"] in CLOSING
                    (self.closed if is_closing else self.opened)[notification["alert"]] += 1
                await peer.send(OK)


def configuration(check_every_s: int, targets: int, hooks: Sequence[str]) -> str:
    monitors = "\n".join(
        f'[monitors.m{number:03}]\nurl = "http://127.{number // 250}.0.{number % 250 + 1}:{targets}/{number}"\n'
        'up_when = ["status == 200"]'
        for number in range(MONITORS)
    )
    return "\n".join(
        (
            '[auto]\nignore = ["host:*", "unit:*"]',
            f'[defaults]\ncheck_every = "{check_every_s}s"\ntimeout = "5s"\nfail_after = 1\nflapping = false',
            monitors,
            *hooks,
        )
    )


def hook_config(name: str, port: int, options: str) -> str:
    return f'[notifiers.{name}]\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\n{options}'


AT_ONCE = 'group_wait = "0s"\nmax_messages_per_minute = 600'


@contextlib.asynccontextmanager
async def receivers(targets: Targets, hooks: Sequence[Hook]) -> AsyncIterator[tuple[int, list[int]]]:
    """Yield the port of the targets, on all addresses of the loopback, and those of the hooks."""
    async with contextlib.AsyncExitStack() as stack:
        target_server = await stack.enter_async_context(serve(targets.answer, host="0.0.0.0"))
        ports = [(await stack.enter_async_context(serve(hook.answer))).port for hook in hooks]
        yield target_server.port, ports


async def _until_up(monitord: Daemon, within_s: float) -> None:
    await _until(lambda: monitord.ask.get("/status")["monitors"]["up"] == MONITORS, within_s)


async def _until(condition: Any, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:.0f} s")
        await asyncio.sleep(POLL_S)


# Latency


@dataclass(frozen=True)
class Window:
    latencies_s: list[float]
    with_core_s: list[float]
    waited_s: float


async def latency_window(
    folder: Path, journal: Path, seconds: float, seed: int, *, with_hanging: bool
) -> Window:
    targets = Targets(random.Random(seed))
    hooks = [Hook(targets), Hook(targets, is_hanging=True)]
    async with receivers(targets, hooks) as (port, (good, hanging)):
        notifiers = [hook_config("good", good, AT_ONCE)]
        if with_hanging:
            notifiers.append(hook_config("hanging", hanging, AT_ONCE))
        config = configuration(LATENCY_EVERY_S, port, notifiers)
        # The start blocks, but nothing is measured yet, and the backlog of the listeners holds the first checks.
        with daemon(folder, config, journal=journal) as monitord:
            await _until_up(monitord, SETTLE_WITHIN_S)
            pids = monitord.pid, os.getpid()
            targets.waited_s = lambda: sum(map(threads_waited_s, pids))
            targets.change_ratio = CHANGES_PER_S * LATENCY_EVERY_S / MONITORS
            waited = waited_s(monitord.pid)
            await asyncio.sleep(seconds)
            waited = waited_s(monitord.pid) - waited
            targets.change_ratio = 0.0
            await asyncio.sleep(1.0)
    good_hook = hooks[0]
    return Window(sorted(good_hook.latencies_s), sorted(good_hook.latencies_with_core_s), waited / seconds)


def latency(folder: Path, journal: Path, rounds: int, seconds: float, seed: int) -> str:
    found: dict[str, list[Window]] = {"without": [], "with": []}
    for number in range(rounds):
        for case, windows in found.items():
            own = folder / f"latency-{case}-{number}"
            windows.append(
                asyncio.run(latency_window(own, journal, seconds, seed + number, with_hanging=case == "with"))
            )
    rows = [
        (
            case,
            len(window.latencies_s),
            *(milliseconds(quantile(window.latencies_s, ratio)) for ratio in (0.5, 0.9, 0.99, 1.0)),
            milliseconds(quantile(window.with_core_s, 0.99)),
            "yes" if quantile(window.latencies_s, 0.99) < GOAL_S else "NO",
            f"{window.waited_s * 1e3:.1f}",
        )
        for case, windows in found.items()
        for window in windows
    ]
    heads = (
        "a channel that hangs",
        "notifications",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "max, ms",
        "p99 while they had a core, ms",
        f"p99 < {GOAL_S * 1e3:.0f} ms",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)


# Storm


async def storm(folder: Path, journal: Path, seconds: float, seed: int) -> str:
    targets = Targets(random.Random(seed))
    hooks = {
        "fast": Hook(targets),
        "default limits": Hook(targets),
        "hanging": Hook(targets, is_hanging=True),
    }
    options = (
        'group_wait = "100ms"\nmax_messages_per_minute = 600',
        "",
        'timeout = "5s"\nmax_per_minute = 60',
    )
    async with receivers(targets, list(hooks.values())) as (port, ports):
        notifiers = [
            hook_config(f"h{number}", hook_port, text)
            for number, (hook_port, text) in enumerate(zip(ports, options, strict=True))
        ]
        with daemon(folder, configuration(STORM_EVERY_S, port, notifiers), journal=journal) as monitord:
            await _until_up(monitord, SETTLE_WITHIN_S)
            memory = [memory_of(monitord.pid).pss]
            targets.change_ratio, waited = 1.0, waited_s(monitord.pid)
            began_s = time.monotonic()
            queued = []
            while time.monotonic() < began_s + seconds:
                await asyncio.sleep(5.0)
                memory.append(memory_of(monitord.pid).pss)
                status = await asyncio.to_thread(monitord.ask.get, "/api/v1/notifiers")
                queued.append(sum(notifier["queued"] for notifier in status["notifiers"]))
            waited = waited_s(monitord.pid) - waited
            changes = targets.changes
            during = {name: sorted(hook.latencies_s) for name, hook in hooks.items()}
            targets.is_settled, hooks["hanging"].is_hanging = True, False

            def is_over() -> bool:
                memory.append(memory_of(monitord.pid).pss)
                found = monitord.ask.get("/api/v1/notifiers")["notifiers"]
                return not any(notifier["queued"] for notifier in found)

            await _until_up(monitord, SETTLE_WITHIN_S)
            await _until(is_over, DRAIN_WITHIN_S)
            drained_s = time.monotonic() - began_s - seconds
            await asyncio.sleep(1.0)
            ids = {incident["id"] for incident in await asyncio.to_thread(all_incidents, monitord.ask)}
            status = await asyncio.to_thread(monitord.ask.get, "/status")
    rows = [
        (
            name,
            hook.requests,
            _latency(during[name], 0.5),
            _latency(during[name], 0.99),
            f"{len(ids - hook.opened.keys())}; {len(ids - hook.closed.keys())}",
            f"{len((hook.opened.keys() | hook.closed.keys()) - ids)}",
            sum(count > 1 for counts in (hook.opened, hook.closed) for count in counts.values()),
        )
        for name, hook in hooks.items()
    ]
    heads = (
        "webhook",
        "requests",
        "p50 during the storm, ms",
        "p99, ms",
        "incidents not opened; not closed there (goal 0; 0)",
        "alerts without an incident (goal 0)",
        "sent twice (goal 0)",
    )
    text = (
        f"{changes} changes in {seconds:.0f} s, {len(ids)} incidents; at most {max(queued)} notifications queued, "
        f"all sent {drained_s:.0f} s after the storm. PSS before, at most, at the end: {mebibytes(memory[0])}, "
        f"{mebibytes(max(memory))}, {mebibytes(memory[-1])} MiB. Lateness p99 at most "
        f"{milliseconds(status['checks']['lateness_s']['p99'])} ms; skipped checks: {status['checks']['skipped']}; "
        f"waited for a core: {waited / seconds * 1e3:.1f} ms per s."
    )
    return f"{markdown(heads, rows)}\n\n{text}"


def _latency(ordered: Sequence[float], ratio: float) -> str:
    return milliseconds(quantile(ordered, ratio)) if ordered else ""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one window, and of the storm")
    parser.add_argument("--seed", type=int, default=20261130)


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name, journal_sink(Path(name)) as journal:
        folder = Path(name)
        fast = latency(folder, journal, options.rounds, options.seconds, options.seed)
        many = asyncio.run(storm(folder / "storm", journal, options.seconds, options.seed))
    return f"### Latency\n\n{fast}\n\n### Storm\n\n{many}"
