"""Everything at once: 1,000 http, 200 tcp, 100 dns, 50 exec and 100 heartbeat monitors in one daemon, for ten minutes.

All are up: nginx and dnsmasq respond, the plugin is from Debian, and every heartbeat is reported in time through the
socket. Lateness is measured by the daemon. Memory is read every ten seconds; its growth after the first minute is the
slope of a line through these values. No process of the daemon may remain after the stop.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.measure import MIB, cpu_s, markdown, mebibytes, memory_of, waited_s
from bench.nginx import Nginx, nginx
from bench.processes import Command, Daemon, daemon, free_port, journal_sink, program, serving

COUNTS = {"http": 1000, "tcp": 200, "dns": 100, "exec": 50, "heartbeat": 100}
CHECK_EVERY_S = 10.0
PLUGIN = Path("/usr/lib/nagios/plugins/check_dummy")
SAMPLE_EVERY_S = 10.0
SETTLED_AFTER_S = 60.0
LATER_AFTER_S = 300.0
GOAL_LATE_S = 0.1
GOAL_GROWTH_MIB_PER_MINUTE = 0.1


@contextmanager
def name_server(folder: Path) -> Iterator[int]:
    """Run dnsmasq with one name and without upstream servers. Yields its port."""
    port = free_port()
    command: Command = [
        program("dnsmasq", "dnsmasq-base"),
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        f"--port={port}",
        "--pid-file=",
        "--address=/shop.example.org/192.0.2.1",
    ]
    with serving(command, folder, "dnsmasq", port):
        yield port


def configuration(server: Nginx, dns_port: int) -> str:
    parts = [f'[defaults]\ncheck_every = "{CHECK_EVERY_S}s"\ntimeout = "5s"']
    hosts = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(COUNTS["http"])]
    parts += [
        f'[monitors.http-{number:04}]\nurl = "http://{host}:{server.port}/"\nup_when = ["status == 200"]'
        for number, host in enumerate(hosts)
    ]
    parts += [
        f'[monitors.tcp-{number:03}]\ntype = "tcp"\naddress = "{hosts[number]}:{server.port}"'
        for number in range(COUNTS["tcp"])
    ]
    parts += [
        f'[monitors.dns-{number:03}]\ntype = "dns"\nname = "shop.example.org"\nserver = "127.0.0.1"\nport = {dns_port}'
        for number in range(COUNTS["dns"])
    ]
    parts += [
        f'[monitors.exec-{number:02}]\ntype = "exec"\ncommand = ["{PLUGIN}", "0", "fine | load=1"]'
        for number in range(COUNTS["exec"])
    ]
    parts += [
        f'[monitors.heartbeat-{number:03}]\ntype = "heartbeat"\nevery = "1m"\ngrace = "1m"'
        for number in range(COUNTS["heartbeat"])
    ]
    return "\n".join(["[limits]\nmax_concurrent_per_host = 100", *parts])


def watch(monitord: Daemon, seconds: float) -> list[tuple[float, int]]:
    """Report the heartbeats in turn and sample the memory. Returns (seconds since the start, bytes)."""
    began = time.monotonic()
    samples: list[tuple[float, int]] = []
    number = 0
    while (passed := time.monotonic() - began) < seconds:
        monitord.ask.post(f"/heartbeats/heartbeat-{number % COUNTS['heartbeat']:03}")
        number += 1
        if passed >= len(samples) * SAMPLE_EVERY_S:
            samples.append((passed, memory_of(monitord.pid).rss))
        time.sleep(0.2)
    return samples


def remaining_processes(folder: Path) -> list[str]:
    """Processes with the folder of the daemon on their command line, and plugins, after it has ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(PLUGIN) in command or str(folder / "run") in command:
            found.append(command.strip())
    return found


def growth_mib_per_minute(samples: list[tuple[float, int]], after_s: float) -> float:
    settled = [(at, rss) for at, rss in samples if at >= after_s]
    if len(settled) < 2:
        return 0.0
    slope = statistics.linear_regression([at for at, _ in settled], [rss for _, rss in settled]).slope
    return slope * 60 / MIB


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600.0)


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        addresses = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(COUNTS["http"])]
        server = stack.enter_context(nginx(folder / "nginx", ["127.0.0.1", *addresses]))
        dns_port = stack.enter_context(name_server(folder))
        journal = stack.enter_context(journal_sink(folder))
        run = folder / "run"
        with daemon(run, configuration(server, dns_port), journal=journal) as monitord:
            began, used, waited = time.monotonic(), cpu_s(monitord.pid), waited_s(monitord.pid)
            samples = watch(monitord, options.seconds)
            passed = time.monotonic() - began
            used, waited = cpu_s(monitord.pid) - used, waited_s(monitord.pid) - waited
            status: Any = monitord.ask.get("/status")
        errors = (run / "monitord.stderr").read_text()
        return _table(
            status,
            samples,
            used / passed,
            waited / passed,
            [*remaining_processes(folder), *errors.splitlines()],
        )


def _table(
    status: Any, samples: list[tuple[float, int]], cores: float, waited: float, left: list[str]
) -> str:
    lateness, monitors = status["checks"]["lateness_s"], status["monitors"]
    not_up = {state: count for state, count in monitors.items() if count and state not in {"up", "total"}}
    growth = growth_mib_per_minute(samples, SETTLED_AFTER_S)
    later = growth_mib_per_minute(samples, LATER_AFTER_S)
    rows = [
        ("monitors up", f"{monitors['up']} of {monitors['total']}{f'; {not_up}' if not_up else ''}", "all"),
        ("checks", status["checks"]["total"], ""),
        ("skipped", status["checks"]["skipped"], "0"),
        ("lateness p99", f"at most {lateness['p99'] * 1e3:.0f} ms", f"{GOAL_LATE_S * 1e3:.0f} ms"),
        ("lateness max", f"{lateness['max'] * 1e3:.0f} ms", ""),
        ("memory at the end", f"{mebibytes(samples[-1][1])} MiB", ""),
        (
            "growth after the first minute",
            f"{growth:+.3f} MiB per minute",
            f"at most {GOAL_GROWTH_MIB_PER_MINUTE}",
        ),
        (
            "growth after the fifth minute",
            f"{later:+.3f} MiB per minute",
            f"at most {GOAL_GROWTH_MIB_PER_MINUTE}",
        ),
        ("cores used, without children", f"{cores:.2f}", ""),
        ("waited for a core", f"{waited * 1e3:.1f} ms per s", ""),
        ("remaining processes, output on standard error", "; ".join(left) or "nothing", "nothing"),
    ]
    return markdown(("value", "measured", "goal"), rows)
