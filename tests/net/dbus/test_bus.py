"""The connection to a bus: against a real dbus-daemon, and against peers that are none."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dbus_fast import Message

from monitord.net.dbus.bus import (
    BUS,
    MAX_LINE_BYTES,
    BusConnection,
    BusError,
    BusFailure,
    BusPeer,
    Signal,
    socket_of,
    system_bus_address,
)
from tests.buses import SYSTEMD, Daemon, FakeSystemd, until

MANAGER = BusPeer(SYSTEMD, "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    started = Daemon(tmp_path)
    yield started
    started.stop()


def soon() -> float:
    return time.monotonic() + 20


async def open_to(address: str, signals: list[Signal] | None = None, within_s: float = 20) -> BusConnection:
    on_signal = (lambda _: None) if signals is None else signals.append
    return await BusConnection.open(address, on_signal, deadline=time.monotonic() + within_s)


@asynccontextmanager
async def peer_with_responses(folder: Path, *answers: bytes, ends: bool = False) -> AsyncIterator[str]:
    """Waits for something before each answer, then hangs up or keeps silent."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
        if not ends:
            await gone.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "peer")
    try:
        yield f"unix:path={folder / 'peer'}"
    finally:
        gone.set()
        server.close()
        await server.wait_closed()


async def failure_of(address: str, within_s: float = 20) -> BusError:
    with pytest.raises(BusError) as raised:
        await open_to(address, within_s=within_s)
    return raised.value


async def test_call_returns_the_reply(daemon: Daemon) -> None:
    connection = await open_to(daemon.address)
    (names,) = await connection.call(BUS, "ListNames", "", (), "as", deadline=soon())
    assert BUS.name in names
    connection.close()
    connection.close()


async def test_concurrent_calls_get_their_own_replies(daemon: Daemon) -> None:
    connection = await open_to(daemon.address)
    bodies = [(f"name.number{number}",) for number in range(500)]
    for name in (bodies[3][0], bodies[7][0]):
        await connection.call(BUS, "RequestName", "su", (name, 0), "u", deadline=soon())
    answers = await connection.call_each(BUS, "NameHasOwner", "s", bodies, "b", deadline=soon())
    assert [number for number, (has_owner,) in enumerate(answers) if has_owner] == [3, 7]
    connection.close()


async def test_signals_are_received(daemon: Daemon) -> None:
    signals: list[Signal] = []
    connection = await open_to(daemon.address, signals)
    rule = "type='signal',member='NameOwnerChanged',arg0='a.b'"
    await connection.call(BUS, "AddMatch", "s", (rule,), "", deadline=soon())
    other = await open_to(daemon.address)
    await other.call(BUS, "RequestName", "su", ("a.b", 0), "u", deadline=soon())
    await until(lambda: [signal for signal in signals if signal.member == "NameOwnerChanged"])
    change = next(signal for signal in signals if signal.member == "NameOwnerChanged")
    assert (change.sender, change.interface, change.signature) == (BUS.name, BUS.interface, "sss")
    assert change.body[:2] == ["a.b", ""]
    connection.close()
    other.close()


async def test_error_has_its_name_and_message(daemon: Daemon) -> None:
    connection = await open_to(daemon.address)
    for peer, member, failure, name in (
        (BUS, "NoSuchMember", BusFailure.REFUSED, "org.freedesktop.DBus.Error.UnknownMethod"),
        (
            BusPeer("no.body", "/", "no.body"),
            "Ask",
            BusFailure.AWAY,
            "org.freedesktop.DBus.Error.NameHasNoOwner",
        ),
    ):
        with pytest.raises(BusError) as raised:
            await connection.call(peer, member, "", (), "", deadline=soon())
        assert (raised.value.failure, raised.value.name) == (failure, name)
        assert peer.name in raised.value.detail
    connection.close()


async def test_call_denied_by_a_policy_is_forbidden(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, policy=f'<deny send_interface="{SYSTEMD}.Manager" send_member="Secret"/>')
    systemd = FakeSystemd(daemon.address)
    await systemd.start()
    connection = await open_to(daemon.address)
    with pytest.raises(BusError) as raised:
        await connection.call(MANAGER, "Secret", "", (), "", deadline=soon())
    assert raised.value.failure is BusFailure.FORBIDDEN
    connection.close()
    await systemd.stop()
    daemon.stop()


async def test_call_of_an_unresponsive_peer_ends_at_the_deadline(daemon: Daemon) -> None:
    systemd = FakeSystemd(daemon.address)
    await systemd.start()
    systemd.is_hanging = True
    connection = await open_to(daemon.address)
    with pytest.raises(BusError) as raised:
        await connection.call(MANAGER, "Subscribe", "", (), "", deadline=time.monotonic() + 0.05)
    assert raised.value.failure is BusFailure.SILENT
    assert str(raised.value) == f"{SYSTEMD} does not reply to Subscribe"
    systemd.is_hanging = False
    # The late reply to a cancelled call is ignored.
    await connection.call(MANAGER, "Subscribe", "", (), "", deadline=soon())
    connection.close()
    await systemd.stop()


async def test_reply_of_another_type_is_rejected(daemon: Daemon) -> None:
    systemd = FakeSystemd(daemon.address)
    await systemd.start()
    systemd.answer = lambda message: Message.new_method_return(message, "u", [5])
    connection = await open_to(daemon.address)
    with pytest.raises(BusError) as raised:
        await connection.call(MANAGER, "ListUnits", "", (), "s", deadline=soon())
    assert raised.value.failure is BusFailure.REFUSED
    assert "the reply has the signature 'u' instead of 's'" in str(raised.value)
    connection.close()
    await systemd.stop()


async def test_lost_connection_ends_all_calls(daemon: Daemon) -> None:
    systemd = FakeSystemd(daemon.address)
    await systemd.start()
    systemd.is_hanging = True
    connection = await open_to(daemon.address)
    asked = asyncio.ensure_future(connection.call(MANAGER, "Subscribe", "", (), "", deadline=soon()))
    await until(lambda: systemd.calls)
    daemon.stop()
    with pytest.raises(BusError) as raised:
        await asked
    assert raised.value.failure is BusFailure.AWAY
    assert connection.lost.is_set()
    with pytest.raises(BusError, match="closed the connection"):
        await connection.call(BUS, "ListNames", "", (), "as", deadline=soon())
    await systemd.stop()


async def test_missing_bus_has_the_failure_away(tmp_path: Path) -> None:
    failure = await failure_of(f"unix:path={tmp_path}/nothing")
    assert (failure.failure, str(failure)) == (
        BusFailure.AWAY,
        f"{tmp_path}/nothing: no such file or directory",
    )


@pytest.mark.parametrize(
    ("answers", "ends", "failure", "detail"),
    [
        pytest.param([], True, BusFailure.AWAY, "the bus closed the connection", id="hangs_up_at_once"),
        pytest.param([b"OK 12"], True, BusFailure.AWAY, "the bus closed the connection", id="hangs_up_in_a_line"),
        pytest.param([b"REJECTED EXTERNAL\r\n"], False, BusFailure.FORBIDDEN, "rejected the", id="rejected"),
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n"], False, BusFailure.AWAY, "it responded", id="web_server"),
        pytest.param([b"x" * (MAX_LINE_BYTES + 1)], False, BusFailure.AWAY, "line of the", id="endless_line"),
        pytest.param([b"OK " + b"0" * 32 + b"\r\n", b"\xff" * 64], False, BusFailure.AWAY, "invalid", id="noise"),
        pytest.param(
            [b"OK " + b"0" * 32 + b"\r\n", b"l\2\1\1\xff\xff\xff\xff\1\0\0\0\0\0\0\0"],
            False, BusFailure.AWAY, "invalid", id="a_message_of_four_gigabytes",
        ),
        pytest.param(
            [b"OK " + b"0" * 32 + b"\r\n", b"l\2\1\7\0\0\0\0\1\0\0\0\0\0\0\0"],
            False, BusFailure.AWAY, "invalid", id="another_version",
        ),
    ],
)  # fmt: skip
async def test_peer_that_is_not_a_bus_is_rejected(
    tmp_path: Path, answers: list[bytes], ends: bool, failure: BusFailure, detail: str
) -> None:
    async with peer_with_responses(tmp_path, *answers, ends=ends) as address:
        said = await failure_of(address)
    assert said.failure is failure
    assert detail in str(said)


async def test_connection_to_an_unresponsive_bus_ends_at_the_deadline(tmp_path: Path) -> None:
    async with peer_with_responses(tmp_path) as address:
        assert (await failure_of(address, within_s=0.05)).failure is BusFailure.SILENT


@pytest.mark.parametrize(
    ("address", "socket"),
    [
        ("unix:path=/run/dbus/system_bus_socket", "/run/dbus/system_bus_socket"),
        ("unix:path=/a%20b,guid=12", "/a b"),
        ("unix:abstract=/tmp/x,guid=12", "\0/tmp/x"),
        ("tcp:host=a,port=1;unix:path=/b", "/b"),
    ],
)
def test_socket_is_parsed_from_the_address(address: str, socket: str) -> None:
    assert socket_of(address) == socket


def test_address_without_a_socket_has_the_failure_away() -> None:
    with pytest.raises(BusError, match="names no Unix socket"):
        socket_of("tcp:host=a,port=1")


def test_environment_can_select_another_bus() -> None:
    assert system_bus_address({}) == "unix:path=/run/dbus/system_bus_socket"
    assert system_bus_address({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x"}) == "unix:path=/x"
