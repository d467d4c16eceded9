"""HTTP checks: CPU time per check and memory of the daemon, compared with blackbox_exporter and Prometheus.

Paced: 1,000 targets every 10 s for a minute, over plain HTTP and over TLS, with a new connection for each check, both
sides at the same time against the same nginx. The log of nginx counts the checks of each side and shows that no
connection and no TLS session was reused.

Flat out, one after the other: the daemon with more checks due than it can run; blackbox_exporter requested by wrk
without a pause, and without Prometheus, which is in its favour; and Prometheus with blackbox_exporter, 1,000 targets
every two seconds, which is about the maximum of two cores.

The daemon stores results in its history and logs every check with all fields, in the protocol of the journal, to a
process that reads them. The CPU time of journald is not counted. Prometheus stores the scraped metrics. Memory is that
of all processes of a side, without file pages that they share with other processes (PSS), and with them (RSS).
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.configs import http_config
from bench.measure import Memory, cpu_s, markdown, mebibytes, median_and_range, memory_of
from bench.nginx import Nginx, nginx
from bench.peers import BLACKBOX, PROMETHEUS, exporter, peers
from bench.processes import daemon, journal_sink, version_of

TARGETS = 1000
PERIOD_S = 10
TIMEOUT_S = 5
SETTLE_S = 26.0
"""After this time each monitor has been checked twice and is on its grid."""

FLAT_SETTLE_S = 5.0
AT_ONCE = 16
FLAT_PERIOD_S = 2
LOG_DELAY_S = 1.5
"""nginx writes its log once per second."""

GOAL_CPU, STRETCH_CPU, GOAL_MEMORY = 0.7, 0.35, 0.25
KINDS = ("plain", "TLS")
OURS, THEIRS = "daemon", "peers"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of the processes of one side in a window, and their requests. CPU time in seconds, for each process."""

    checks: int
    rate: float
    reused: int
    bad: int
    cpu_s: tuple[float, ...]
    memory: tuple[Memory, ...]

    @property
    def cpu_per_check_s(self) -> float:
        return sum(self.cpu_s) / self.checks

    @property
    def pss(self) -> int:
        return sum(memory.pss for memory in self.memory)

    @property
    def rss(self) -> int:
        return sum(memory.rss for memory in self.memory)

    @property
    def shares(self) -> str:
        """The CPU time of each process per check, in ms."""
        return " + ".join(f"{cpu_s / self.checks * 1e3:.2f}" for cpu_s in self.cpu_s)


def window(
    server: Nginx, sides: dict[str, Sequence[int]], seconds: float, act: Callable[[], None] | None = None
) -> dict[str, Cost]:
    """The cost of each side, given by its processes, while `act` runs or during this time."""
    began, before = time.time(), {pid: cpu_s(pid) for pids in sides.values() for pid in pids}
    if act is None:
        time.sleep(seconds)
    else:
        act()
    ended, after = time.time(), {pid: cpu_s(pid) for pid in before}
    memory = {pid: memory_of(pid) for pid in before}
    time.sleep(LOG_DELAY_S)
    costs = {}
    for side, pids in sides.items():
        requests = server.requests(side, began, ended)
        costs[side] = Cost(
            checks=len(requests),
            rate=len(requests) / (ended - began),
            reused=sum(not request.is_fresh for request in requests),
            bad=sum(request.status != 200 for request in requests),
            cpu_s=tuple(after[pid] - before[pid] for pid in pids),
            memory=tuple(memory[pid] for pid in pids),
        )
    return costs


def urls_of(server: Nginx, kind: str, side: str) -> list[str]:
    return [f"{server.url(kind)}{side}/{number}" for number in range(TARGETS)]


def paced(server: Nginx, kind: str, folder: Path, journal: Path, seconds: float) -> dict[str, Cost]:
    config = http_config(
        urls_of(server, kind, OURS),
        check_every=f"{PERIOD_S}s",
        timeout=f"{TIMEOUT_S}s",
        authority=server.authority if kind == "TLS" else None,
    )
    with ExitStack() as stack:
        monitord = stack.enter_context(daemon(folder / "daemon", config, journal=journal))
        theirs = stack.enter_context(
            peers(
                folder / "peers",
                urls_of(server, kind, THEIRS),
                server.authority,
                every_s=PERIOD_S,
                timeout_s=TIMEOUT_S,
            )
        )
        time.sleep(SETTLE_S)
        costs = window(server, {OURS: [monitord.pid], THEIRS: theirs.pids}, seconds)
        _expect(monitord.ask.get("/status")["monitors"]["up"] == TARGETS, "every monitor is up")
        _expect(theirs.failed(int(seconds)) == 0, "every probe succeeded")
    for cost in costs.values():
        _expect(cost.reused == 0 and cost.bad == 0, "each check is a new connection and a 200")
    return costs


def flat_out(server: Nginx, kind: str, folder: Path, journal: Path, seconds: float) -> dict[str, Cost]:
    """The daemon, blackbox_exporter alone, and blackbox_exporter with Prometheus, in turn."""
    authority = server.authority if kind == "TLS" else None
    config = http_config(
        urls_of(server, kind, OURS),
        check_every="250ms",
        timeout="250ms",
        max_concurrent=AT_ONCE,
        authority=authority,
    )
    with daemon(folder / "daemon", config, journal=journal) as monitord:
        time.sleep(FLAT_SETTLE_S)
        ours = window(server, {OURS: [monitord.pid]}, seconds)[OURS]
    with exporter(folder / "exporter", server.authority) as probes:

        def request() -> None:
            target = probes.probe_url(f"{server.url(kind)}exporter/0")
            subprocess.run(
                ["wrk", "-t1", f"-c{AT_ONCE}", f"-d{seconds:.0f}s", target],
                check=True,
                stdout=subprocess.DEVNULL,
            )

        alone = window(server, {"exporter": [probes.pid]}, seconds, request)["exporter"]
    with peers(
        folder / "peers",
        urls_of(server, kind, THEIRS),
        server.authority,
        every_s=FLAT_PERIOD_S,
        timeout_s=FLAT_PERIOD_S,
    ) as theirs:
        time.sleep(FLAT_SETTLE_S)
        both = window(server, {THEIRS: theirs.pids}, seconds)[THEIRS]
    return {OURS: ours, "exporter": alone, THEIRS: both}


def _expect(condition: bool, text: str) -> None:  # noqa: FBT001 - a condition
    if not condition:
        raise RuntimeError(f"the measurement is not valid: it is not true that {text}")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one paced window")
    parser.add_argument("--flat-seconds", type=float, default=15.0)
    parser.add_argument("--only", choices=("paced", "flat"))


def main(options: argparse.Namespace) -> str:
    found: dict[tuple[str, str], list[dict[str, Cost]]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(nginx(folder / "nginx"))
        journal = stack.enter_context(journal_sink(folder))
        for number in range(options.rounds):
            for kind in KINDS:
                for mode, measure, seconds in (
                    ("paced", paced, options.seconds),
                    ("flat", flat_out, options.flat_seconds),
                ):
                    if options.only in {None, mode}:
                        own = folder / f"{mode}-{kind}-{number}"
                        own.mkdir()
                        costs = measure(server, kind, own, journal, seconds)
                        found.setdefault((mode, kind), []).append(costs)
    versions = ", ".join(
        f"{package} {version_of(package)}" for package in (BLACKBOX, PROMETHEUS, "nginx-light")
    )
    return "\n\n".join([versions, *(_section(*key, rounds) for key, rounds in found.items())])


def _section(mode: str, kind: str, rounds: list[dict[str, Cost]]) -> str:
    names = {
        OURS: "monitord",
        "exporter": "blackbox_exporter alone",
        THEIRS: "blackbox_exporter + prometheus",
    }
    rows = []
    for side in rounds[0]:
        costs = [costs[side] for costs in rounds]
        ratios = [costs[OURS].cpu_per_check_s / costs[side].cpu_per_check_s for costs in rounds]
        rows.append(
            (
                names[side],
                median_and_range([cost.rate for cost in costs], 0),
                median_and_range([cost.cpu_per_check_s * 1e3 for cost in costs]),
                costs[-1].shares,
                median_and_range([cost.pss / 2**20 for cost in costs], 0),
                "" if side == OURS else median_and_range(ratios),
                "" if side == OURS else f"{statistics.median(c[OURS].pss / c[side].pss for c in rounds):.2f}",
            )
        )
    heads = (
        "side",
        "checks/s",
        "CPU per check, ms",
        "of each process, last round",
        "PSS, MiB",
        "ratio of CPU",
        "ratio of PSS",
    )
    verdict = ""
    if mode == "paced":
        cpu = statistics.median(c[OURS].cpu_per_check_s / c[THEIRS].cpu_per_check_s for c in rounds)
        memory = statistics.median(c[OURS].pss / c[THEIRS].pss for c in rounds)
        with_shared = statistics.median(c[OURS].rss / c[THEIRS].rss for c in rounds)
        peak = max(c[OURS].memory[0].peak_rss for c in rounds)
        verdict = (
            f"\n\nCPU {cpu:.2f} times that of the others (goal {GOAL_CPU}, stretch goal {STRETCH_CPU}), "
            f"PSS {memory:.2f} times (goal {GOAL_MEMORY:.2f}), RSS {with_shared:.2f} times; peak RSS of the daemon "
            f"{mebibytes(peak)} MiB."
        )
    return f"### {mode}, {kind}\n\n{markdown(heads, rows)}{verdict}"
