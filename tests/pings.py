"""Pings in a private network, and a scripted ping socket.

A network namespace has its own `ping_group_range`, addresses and routes, so that a test can allow or forbid ping
sockets and make a host unreachable. No privileges are needed if users can create user namespaces.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitord.net.base.addressing import NO_SOURCE, SourceAddresses

ROOT = Path(__file__).parent.parent

ALLOWED = 'echo "0 0" > /proc/sys/net/ipv4/ping_group_range'
FORBIDDEN = ""
"""The kernel forbids them in a new network namespace, and Debian 12 does not change that."""

NETWORK = """
set -e
ip link set lo up
ip link add near0 type veth peer name near1
ip address add 192.0.2.1/24 dev near0
ip link set near0 up
ip link set near1 up
echo 20 > /proc/sys/net/ipv4/neigh/near0/retrans_time_ms
echo 1 > /proc/sys/net/ipv4/neigh/near0/mcast_solicit
"""
"""A link without other hosts: a neighbour is reported as unreachable after 20 ms instead of three seconds."""

_UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--"]


def why_no_networks() -> str | None:
    """Return why network namespaces cannot be used; None: they can."""
    try:
        done = subprocess.run(
            [*_UNSHARE, "sh", "-c", f"{NETWORK}\n{ALLOWED}"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "there is no unshare(1)"
    return None if done.returncode == 0 else f"no network namespace: {done.stderr.strip()}"


def check_in_network(setup: str, *keys: str, directory: Path, loop: str = "asyncio") -> list[dict[str, Any]]:
    """Return the observations of checks with these keys, one after the other, in a network that `setup` prepares."""
    config = directory / "monitord.toml"
    config.write_text(
        "[defaults]\ntimeout = 2\n"
        + "".join(f'[monitors.m{number}]\ntype = "icmp"\n{lines}\n' for number, lines in enumerate(keys))
    )
    command = f'{NETWORK}\n{setup}\nexec "$@"'
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", command, "sh", sys.executable, "-m", "tests.pings", str(config), loop],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def main(config: str, loop: str) -> None:
    """Run in the private network."""
    # Only this child process needs them.
    import asyncio  # noqa: PLC0415

    from monitord.application import ApplicationContainer  # noqa: PLC0415
    from monitord.settings import read_settings  # noqa: PLC0415

    settings = read_settings(Path(config))
    container = ApplicationContainer(settings)

    async def check() -> list[dict[str, Any]]:
        monitors = [container.build_monitor(monitor) for monitor in settings.monitors]
        seen = [await monitor.check() for monitor in monitors]
        await container.http_client.close()
        return [
            {
                "reason": result.reason.value,
                "detail": result.detail,
                "fields": dict(result.fields),
                "address": result.address,
            }
            for result in seen
        ]

    if loop == "uvloop":
        import uvloop  # noqa: PLC0415

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    else:
        runner = asyncio.Runner()
    with runner:
        print(json.dumps(runner.run(check())))  # noqa: T201


Answer = Callable[[int], Sequence[int | OSError | None]]


@dataclass
class ScriptedSocket:
    """An EchoSocket. `answer` returns what a request of this number causes: the numbers of responses (None
    for a packet that is no response), or errors.
    """

    answer: Answer = lambda number: [number]
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    is_closed: bool = False
    source: SourceAddresses = NO_SOURCE
    _pair: tuple[socket.socket, socket.socket] = field(init=False)
    _waiting: list[int | None] = field(default_factory=list)
    _errors: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pair = socket.socketpair()
        self._pair[0].setblocking(False)

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def bind(self, source: SourceAddresses) -> None:
        self.source = source

    def send(self, sequence: int, payload: bytes) -> None:
        self.sent.append((sequence, payload))
        for item in self.answer(sequence):
            if isinstance(item, OSError):
                self._errors.append((sequence, item.errno or 0))
            else:
                self._waiting.append(item)
            self._pair[1].send(b"!")

    def receive(self) -> int | None:
        if not self._waiting:
            raise BlockingIOError
        self._pair[0].recv(1)
        return self._waiting.pop(0)

    def receive_error(self) -> tuple[int | None, int]:
        if not self._errors:
            raise BlockingIOError
        self._pair[0].recv(1)
        return self._errors.pop(0)

    def close(self) -> None:
        self.is_closed = True
        for end in self._pair:
            end.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
