"""The protocol of chronyd: replies as bytes, and a real chronyd if it is installed."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.net.clock import chrony
from monitord.net.clock.status import ClockError, ClockStatus
from tests.hosts import tracking_reply

CHRONYD = shutil.which("chronyd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@pytest.mark.parametrize(
    ("number", "value"),
    [
        # An exponent of 7 bits and a coefficient of 25 bits: addrfilt and util.c of chrony.
        (0, 0.0),
        (1 << 25 | 1 << 24, -1.0),
        (2 << 25 | 1 << 23, 1.0),
        (-1, -(2.0**-26)),
        (2 << 25 | 3 << 22, 1.5),
        (0x7F << 25 | 1 << 23, 0.125),
    ],
)
def test_floats_of_chrony_are_decoded(number: int, value: float) -> None:
    assert chrony.float_of(number) == value


def test_reply_of_a_synchronized_clock_is_parsed() -> None:
    reply = tracking_reply(address="192.0.2.7", stratum=2, seconds=1_796_000_000, offset=-0.0009765625)
    assert chrony.parse(reply) == ClockStatus(
        "chrony",
        is_synchronized=True,
        offset_s=-0.0009765625,
        measured_at=datetime.fromtimestamp(1_796_000_000, UTC),
        server="192.0.2.7",
        stratum=2,
    )


@pytest.mark.parametrize(
    ("reply", "server"),
    [
        (tracking_reply(address="2001:db8::1"), "2001:db8::1"),
        (tracking_reply(reference=int.from_bytes(b"PHC0", "big")), "PHC0"),
        (tracking_reply(reference=int.from_bytes(b"GPS\0", "big")), "GPS"),
        (tracking_reply(reference=0x7F7F0101), "local clock"),
        (tracking_reply(reference=0x0A000001), "0A000001"),
    ],
)
def test_server_has_a_readable_name(reply: bytes, server: str) -> None:
    assert chrony.parse(reply).server == server


def test_reply_before_the_first_measurement_is_not_synchronized() -> None:
    assert chrony.parse(tracking_reply(reference=0, leap=3, seconds=0)) == ClockStatus(
        "chrony", is_synchronized=False
    )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"", id="empty"),
        pytest.param(tracking_reply()[:40], id="short"),
        pytest.param(b"\x07" + tracking_reply()[1:], id="other version"),
        pytest.param(tracking_reply()[:8] + b"\0\x01" + tracking_reply()[10:], id="unauthorized"),
    ],
)
def test_unusable_reply_is_an_error(reply: bytes) -> None:
    with pytest.raises(ClockError):
        chrony.parse(reply)


async def test_missing_chronyd_is_an_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        address = unused.getsockname()
        # Nothing reads from this socket.
        with pytest.raises(ClockError, match="no response"):
            await chrony.query(timeout_s=0.0, address=address)
    with pytest.raises(ClockError, match="connection refused"):
        await chrony.query(timeout_s=60.0, address=address)


SERVER = """\
local stratum 8
port {port}
cmdport {cmdport}
bindaddress 127.0.0.1
bindcmdaddress 127.0.0.1
bindcmdaddress /
allow 127.0.0.0/8
pidfile {folder}/server.pid
"""
CLIENT = """\
server 127.0.0.1 port {server} iburst minpoll -6 maxpoll -6
port 0
cmdport {cmdport}
bindcmdaddress 127.0.0.1
bindcmdaddress /
pidfile {folder}/client.pid
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def chronyd(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A chronyd that follows another chronyd over loopback. Neither changes the clock. Yields its command address."""
    if CHRONYD is None:
        pytest.skip("chronyd is not installed")
    user = pwd.getpwuid(os.getuid()).pw_name
    server, server_command, command = free_ports(3)
    texts = {
        "server": SERVER.format(port=server, cmdport=server_command, folder=tmp_path),
        "client": CLIENT.format(server=server, cmdport=command, folder=tmp_path),
    }
    started = []
    try:
        for name, text in texts.items():
            config = tmp_path / f"{name}.conf"
            config.write_text(text)
            started.append(
                subprocess.Popen(
                    [CHRONYD, "-x", "-u", user, "-d", "-f", str(config)],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield "127.0.0.1", command
    finally:
        for process in started:
            process.kill()
            process.wait()


async def test_real_chronyd_can_be_queried(chronyd: tuple[str, int]) -> None:
    async def synchronized() -> ClockStatus:
        while True:
            try:
                status = await chrony.query(timeout_s=60.0, address=chronyd)
            except ClockError:  # it has not started yet
                status = None
            if status is not None and status.is_synchronized:
                return status
            await asyncio.sleep(0.05)

    status = await synchronized()
    assert (status.source, status.server, status.stratum) == ("chrony", "127.0.0.1", 9)
    assert status.offset_s is not None
    assert status.measured_at is not None
