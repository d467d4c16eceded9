"""A thousand randomly damaged configurations, each sent by SIGHUP to a daemon that runs.

None may stop it, change what runs, or be refused without a word. What is still good after the damage (by the offline
check) must be accepted, and what is not must be refused; a good one is then followed by the original.
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


def damaged(text: bytes, chance: random.Random) -> bytes:
    """With bytes taken out, flipped, doubled, moved, overwritten or cut off, in one to three places."""
    data = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 20)
        piece = data[at : at + length]
        match chance.randrange(7):
            case 0:
                del data[at : at + length]
            case 1:
                for place in range(at, min(at + 1, len(data))):
                    data[place] ^= 1 << chance.randrange(8)
            case 2:
                data[at:at] = piece
            case 3:
                del data[at : at + length]
                elsewhere = chance.randrange(len(data) + 1)
                data[elsewhere:elsewhere] = piece
            case 4:
                data[at : at + length] = chance.randbytes(length)
            case 5:
                lines = bytes(data).splitlines(keepends=True)
                chance.shuffle(lines)
                data = bytearray(b"".join(lines))
            case _:
                del data[at:]
        if not data:
            break
    return bytes(data)


def reload(monitord: Daemon) -> Any:
    """SIGHUP, and what the daemon says of it afterwards."""
    monitord.manager.drain()
    os.kill(monitord.pid, signal.SIGHUP)
    monitord.manager.wait_for("RELOADING=1", monitord.process, VERDICT_DEADLINE_S)
    told = monitord.manager.wait_for("READY=1", monitord.process, VERDICT_DEADLINE_S).text
    return {**monitord.ask.get("/status")["reload"], "told": told}


def settled_world(monitord: Daemon) -> list[tuple[Any, ...]]:
    """What runs, once every monitor is up (again)."""
    wait_until(lambda: _are_up(monitord), UP_DEADLINE_S, "every monitor is up")
    return world(monitord)


def _are_up(monitord: Daemon) -> bool:
    monitors = monitord.ask.get("/status")["monitors"]
    return bool(monitors["up"] == monitors["total"])


def world(monitord: Daemon) -> list[tuple[Any, ...]]:
    """What runs: each monitor with its options as far as they show, and since when it stands as it does."""
    names = sorted(one["name"] for one in monitord.ask.get("/monitors")["monitors"])
    shown = []
    for name in names:
        one = monitord.ask.get(f"/monitors/{name}")
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
        shown.append(tuple(str(one[key]) for key in keys))
    return shown


def is_good(path: Path) -> bool:
    try:
        read_settings(path)
    except ConfigError:
        return False
    return True


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20260101)


def main(options: argparse.Namespace) -> str:
    chance = random.Random(options.seed)
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
        first, memory = settled_world(monitord), memory_of(monitord.pid)
        began = time.monotonic()
        tally, failures = {"refused": 0, "still good": 0, "not changed": 0}, []
        for number in range(options.count):
            data = damaged(original, chance)
            path.write_bytes(data)
            expected = is_good(path)
            said = reload(monitord)
            if said["ok"] != expected:
                failures.append(f"{number}: the daemon and the offline check disagree: {said}")
            if data == original:
                tally["not changed"] += 1
            elif said["ok"]:
                tally["still good"] += 1
            else:
                tally["refused"] += 1
                failures += [f"{number}: {failure}" for failure in _failures(monitord, said, first, path)]
            if said["ok"]:
                path.write_bytes(original)
                back = reload(monitord)
                if not back["ok"]:
                    failures.append(f"{number}: the original was refused afterwards: {back}")
                first = settled_world(monitord)
        took_s = time.monotonic() - began
        before = monitord.checks
        time.sleep(3)
        if monitord.checks <= before:
            failures.append("no more checks are done")
        after = memory_of(monitord.pid)
    rows = [(*tally.values(), len(failures), f"{took_s:.0f}", mebibytes(memory.pss), mebibytes(after.pss))]
    heads = (*tally, "stopped, changed or unexplained", "seconds", "PSS before, MiB", "after")
    return "\n".join([markdown(heads, rows), *failures[:20]])


def _failures(monitord: Daemon, said: Any, expected: list[tuple[Any, ...]], path: Path) -> Iterator[str]:
    if str(path) not in (said["error"] or ""):
        yield f"refused without an explanation: {said}"
    if "refused" not in said["told"]:
        yield f"the service manager was not told: {said}"
    found = world(monitord)
    if found != expected:
        yield f"what runs has changed: {found} instead of {expected}"
