"""The control protocol of ntpd: responses as bytes."""

import asyncio
import struct
from datetime import UTC, datetime
from typing import cast

import pytest

from monitord.net.clock import ntpd
from monitord.net.clock.status import ClockError, ClockStatus, ntp_time

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

# ntpq -c "rv 0 leap,stratum,refid,reftime,offset" of NTPsec 1.2.2.
VARIABLES = "leap=0, stratum=3, refid=192.0.2.1, reftime=0xeeb7f780.80000000,\r\noffset=-1.25"
SYNCHRONIZED = 0x0615
"""System status: leap indicator 0, synchronized by NTP."""


def response(text: str, *, status: int = SYNCHRONIZED, flags: int = 0x82, size: int | None = None) -> bytes:
    data = text.encode()
    head = struct.pack("!BBHHHHH", 0x16, flags, 1, status, 0, 0, len(data) if size is None else size)
    return head + data + b"\0" * (-len(data) % 4)


def test_response_of_a_synchronized_clock_is_parsed() -> None:
    assert ntpd.parse(response(VARIABLES), NOW) == ClockStatus(
        "ntpd",
        is_synchronized=True,
        offset_s=-0.00125,
        measured_at=ntp_time(0xEEB7F780, 0x80000000, NOW),
        server="192.0.2.1",
        stratum=3,
    )


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(
            "leap=3, stratum=16, refid=INIT, reftime=0x00000000.00000000, offset=0.0", 0xC011, id="start"
        ),
        pytest.param("leap=0, stratum=16, refid=.XFAC., offset=0.0", SYNCHRONIZED, id="stratum 16"),
        pytest.param("", SYNCHRONIZED, id="no variables"),
        pytest.param("stratum=x, offset=1e99, reftime=yesterday", SYNCHRONIZED, id="unknown form"),
    ],
)
def test_response_of_a_clock_that_is_not_synchronized_is_parsed(text: str, status: int) -> None:
    assert ntpd.parse(response(text, status=status), NOW) == ClockStatus("ntpd", is_synchronized=False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(response("", flags=0xC2), id="error"),
        pytest.param(response("leap=0", flags=0xA2), id="more follows"),
        pytest.param(response("leap=0", size=400), id="truncated"),
    ],
)
def test_unusable_response_is_an_error(data: bytes) -> None:
    with pytest.raises(ClockError):
        ntpd.parse(data, NOW)


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC)),
        (datetime(2040, 1, 1, tzinfo=UTC), datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC)),
    ],
)
def test_timestamps_are_in_the_nearest_era(now: datetime, moment: datetime) -> None:
    assert ntp_time(2**32 - 1, 0, now) == moment
    assert ntp_time(0, 0, now) is None


class Server(asyncio.DatagramProtocol):
    """Responds to a request with datagrams."""

    def __init__(self, *responses: bytes) -> None:
        self._responses = responses
        self.requests: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.requests.append(data)
        for each in self._responses:
            self._transport.sendto(each, addr)


async def query(*responses: bytes) -> tuple[ClockStatus, bytes]:
    server = Server(*responses)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        status = await ntpd.query(NOW, timeout_s=60.0, address=transport.get_extra_info("sockname"))
    finally:
        transport.close()
    return status, server.requests[0]


async def test_variables_are_requested_and_other_datagrams_are_ignored() -> None:
    status, request = await query(
        b"x", response("")[:1] + b"\0" + response(VARIABLES)[2:], response(VARIABLES)
    )
    assert status.stratum == 3
    assert request[:4] == bytes([0x16, 2, 0, 1])
    assert b"stratum" in request
    assert len(request) % 4 == 0


async def test_flood_of_other_datagrams_ends_the_query() -> None:
    with pytest.raises(ClockError, match="do not belong"):
        await query(*[b"x"] * 16)
