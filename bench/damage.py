"""Reloads of a thousand randomly damaged configurations.

No reload may stop the daemon, change its monitors, or be rejected without an explanation. A configuration that is valid
in spite of the damage (`--check-config`) must be applied, and any other must be rejected. After a valid one the
original is applied again.
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.measure import markdown, mebibytes, memory_of, wait_until
from bench.nginx import nginx
from bench.processes import Daemon, daemon, journal_sink
from monitord.errors import ConfigError
from monitord.settings import read_settings

VERDICT_DEADLINE_S = 20.0
UP_DEADLINE_S = 20.0

_CONFIG = """
[log]
checks = "all"

[limits]
max_concurrent_checks = 64
max_concurrent_per_host = 16

[defaults]
check_every = "1s"
timeout = "900ms"
fail_after = 3
tags = ["bench"]

[monitors.first]
url = "{url}daemon/1"
method = "GET"
headers = {{ Accept = "text/plain", X-Token = {{ file = "{secret}" }} }}

[monitors.second]
url = "{url}daemon/2"
check_every = "500ms"
timeout = "250ms"
follow_redirects = false

[monitors."third.one"]
type = "http"
url = "{url}daemon/3"
body = '''
several
lines'''
method = "POST"
retry_every = 0.3
"""


def damaged(text: bytes, rng: random.Random) -> bytes:
    """Remove, flip, duplicate, move or overwrite bytes, or truncate the text, in one to three places."""
    data = bytearray(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, length = rng.randrange(len(data) + 1), rng.randint(1, 20)
        piece = data[at : at + length]
        match rng.randrange(7):
            case 0:
                del data[at : at + length]
            case 1:
                for place in range(at, min(at + 1, len(data))):
                    data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[at:at] = piece
            case 3:
                del data[at : at + length]
                elsewhere = rng.randrange(len(data) + 1)
                data[elsewhere:elsewhere] = piece
            case 4:
                data[at : at + length] = rng.randbytes(length)
            case 5:
                lines = bytes(data).splitlines(keepends=True)
                rng.shuffle(lines)
                data = bytearray(b"".join(lines))
            case _:
                del data[at:]
        if not data:
            break
    return bytes(data)


def reload(monitord: Daemon) -> Any:
    """Send SIGHUP and return the outcome of the reload, with the text for the service manager."""
    monitord.manager.drain()
    os.kill(monitord.pid, signal.SIGHUP)
    monitord.manager.wait_for("RELOADING=1", monitord.process, VERDICT_DEADLINE_S)
    notification = monitord.manager.wait_for("READY=1", monitord.process, VERDICT_DEADLINE_S).text
    return {**monitord.ask.get("/status")["reload"], "notification": notification}


def settled_monitors(monitord: Daemon) -> list[tuple[Any, ...]]:
    """Wait until every monitor is up, and return `running_monitors`."""
    wait_until(lambda: _are_up(monitord), UP_DEADLINE_S, "every monitor is up")
    return running_monitors(monitord)


def _are_up(monitord: Daemon) -> bool:
    monitors = monitord.ask.get("/status")["monitors"]
    return bool(monitors["up"] == monitors["total"])


def running_monitors(monitord: Daemon) -> list[tuple[Any, ...]]:
    """The visible options and the state of each monitor."""
    names = sorted(monitor["name"] for monitor in monitord.ask.get("/monitors")["monitors"])
    shown = []
    for name in names:
        monitor = monitord.ask.get(f"/monitors/{name}")
        keys = (
            "name",
            "type",
            "state",
            "since",
            "tags",
            "check_every_s",
            "timeout_s",
            "fail_after",
            "retry_every_s",
        )
        shown.append(tuple(str(monitor[key]) for key in keys))
    return shown


def is_valid(path: Path) -> bool:
    try:
        read_settings(path)
    except ConfigError:
        return False
    return True


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20260101)


def main(options: argparse.Namespace) -> str:
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(nginx(folder / "nginx"))
        journal = stack.enter_context(journal_sink(folder))
        secret = folder / "token"
        secret.write_text("a secret\n")
        config = _CONFIG.format(url=server.url("plain"), secret=secret)
        monitord = stack.enter_context(daemon(folder / "daemon", config, journal=journal))
        path = folder / "daemon" / "monitord.toml"
        original = path.read_bytes()
        first, memory = settled_monitors(monitord), memory_of(monitord.pid)
        began = time.monotonic()
        tally, failures = {"rejected": 0, "still valid": 0, "not changed": 0}, []
        for number in range(options.count):
            data = damaged(original, rng)
            path.write_bytes(data)
            expected = is_valid(path)
            outcome = reload(monitord)
            if outcome["ok"] != expected:
                failures.append(f"{number}: the daemon and the offline check disagree: {outcome}")
            if data == original:
                tally["not changed"] += 1
            elif outcome["ok"]:
                tally["still valid"] += 1
            else:
                tally["rejected"] += 1
                failures += [f"{number}: {failure}" for failure in _failures(monitord, outcome, first, path)]
            if outcome["ok"]:
                path.write_bytes(original)
                back = reload(monitord)
                if not back["ok"]:
                    failures.append(f"{number}: the original was rejected afterwards: {back}")
                first = settled_monitors(monitord)
        took_s = time.monotonic() - began
        before = monitord.checks
        time.sleep(3)
        if monitord.checks <= before:
            failures.append("no more checks are run")
        after = memory_of(monitord.pid)
    rows = [(*tally.values(), len(failures), f"{took_s:.0f}", mebibytes(memory.pss), mebibytes(after.pss))]
    heads = (*tally, "stopped, changed or unexplained", "seconds", "PSS before, MiB", "after")
    return "\n".join([markdown(heads, rows), *failures[:20]])


def _failures(monitord: Daemon, outcome: Any, expected: list[tuple[Any, ...]], path: Path) -> Iterator[str]:
    if str(path) not in (outcome["error"] or ""):
        yield f"rejected without an explanation: {outcome}"
    if "rejected" not in outcome["notification"]:
        yield f"the service manager was not notified: {outcome}"
    found = running_monitors(monitord)
    if found != expected:
        yield f"the monitors have changed: {found} instead of {expected}"
