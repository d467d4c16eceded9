"""The key `source_address` of each type that has it: the address of connections, or an inconclusive check."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.model import Observation, Reason
from monitord.monitors import MONITOR_TYPES, Tools, monitor_type
from monitord.settings import read_settings
from tests.configurations import errors_of
from tests.fakes import resolver_without_queue
from tests.worlds import real_tools

KEYS = {
    "http": 'url = "http://both.test:PORT/"',
    "steps": 'steps = [{ name = "a", url = "http://both.test:PORT/", SOURCE }]',
    "tcp": 'address = "both.test:PORT"',
    "tls": 'address = "both.test:PORT"',
    "websocket": 'url = "ws://both.test:PORT/"',
    "grpc": 'address = "both.test:PORT"',
    "redis": 'address = "both.test:PORT"',
    "dns": 'name = "a.test"\nserver = "both.test"\nport = PORT\nprotocol = "tcp"',
}
ELSEWHERE = "192.0.2.77"
"""Not an address of this host (RFC 5737)."""


def both_families(name: str, family: int) -> Sequence[str]:
    found = {socket.AF_INET: ["127.0.0.1"], socket.AF_INET6: ["::1"]}
    return found.get(socket.AddressFamily(family), ["::1", "127.0.0.1"]) if name == "both.test" else []


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with real_tools(resolver_without_queue(both_families)) as tools:
        yield tools


@asynccontextmanager
async def listener(host: str = "127.0.0.1") -> AsyncIterator[tuple[int, asyncio.Queue[str]]]:
    """Accept connections, note the address of each client, and close. Yields the port."""
    clients: asyncio.Queue[str] = asyncio.Queue()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.put_nowait(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(accept, host)
    try:
        yield server.sockets[0].getsockname()[1], clients
    finally:
        server.close()
        await server.wait_closed()


async def check(tmp_path: Path, tools: Tools, type_name: str, port: int, line: str) -> Observation:
    config = tmp_path / "monitord.toml"
    keys = KEYS[type_name].replace("PORT", str(port))
    keys = keys.replace("SOURCE", line) if "SOURCE" in keys else f"{keys}\n{line}"
    config.write_text(f'[monitors.one]\ntype = "{type_name}"\n{keys}\n')
    (settings,) = read_settings(config).monitors
    kind = monitor_type(type_name)
    assert kind is not None
    monitor = kind(settings, tools)
    try:
        return await monitor.check()
    finally:
        await monitor.close()


@pytest.mark.parametrize("type_name", KEYS)
async def test_connection_comes_from_the_address(tmp_path: Path, tools: Tools, type_name: str) -> None:
    async with listener() as (port, clients):
        seen = await check(tmp_path, tools, type_name, port, 'source_address = "127.0.0.9"')
        assert seen.address == "127.0.0.1", "the name is resolved to the family of the source address"
        assert await clients.get() == "127.0.0.9"


@pytest.mark.parametrize("type_name", KEYS)
async def test_address_that_this_host_does_not_have_is_a_probe_error(
    tmp_path: Path, tools: Tools, type_name: str
) -> None:
    async with listener() as (port, clients):
        seen = await check(tmp_path, tools, type_name, port, f'source_address = ["{ELSEWHERE}"]')
        assert seen.reason is Reason.PROBER_SOURCE_ADDRESS
        assert seen.reason.is_inconclusive
        assert f"source_address {ELSEWHERE} is not an address of this host" in seen.detail
        assert clients.empty()


async def test_each_family_has_its_address(tmp_path: Path, tools: Tools) -> None:
    async with listener("127.0.0.1") as (port, clients):
        source = '["127.0.0.8", "::1"]'
        seen = await check(tmp_path, tools, "tcp", port, f"source_address = {source}")
        assert (seen.address, seen.reason) == ("::1", Reason.REFUSED)
        assert clients.empty()
        config = f'address = "127.0.0.1:{port}"'
        (tmp_path / "other.toml").write_text(
            f'[monitors.one]\ntype = "tcp"\n{config}\nsource_address = {source}\n'
        )
        (settings,) = read_settings(tmp_path / "other.toml").monitors
        await MONITOR_TYPES["tcp"](settings, tools).check()
        assert await clients.get() == "127.0.0.8"


async def test_address_that_cannot_reach_the_peer_is_a_probe_error(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "monitord.toml").write_text(
        '[monitors.one]\ntype = "tcp"\naddress = "192.0.2.1:9"\nsource_address = "127.0.0.1"\n'
    )
    (settings,) = read_settings(tmp_path / "monitord.toml").monitors
    seen = await MONITOR_TYPES["tcp"](settings, tools).check()
    # Without a route the kernel reports that before it compares the addresses.
    assert seen.reason in {Reason.PROBER_SOURCE_ADDRESS, Reason.HOST_UNREACHABLE}


async def test_datagrams_of_dns_come_from_the_address(tmp_path: Path, tools: Tools) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server:
        server.bind(("127.0.0.1", 0))
        (tmp_path / "monitord.toml").write_text(
            '[monitors.one]\ntype = "dns"\nname = "a.test"\nserver = "127.0.0.1"\n'
            f'port = {server.getsockname()[1]}\nsource_address = "127.0.0.9"\n'
        )
        (settings,) = read_settings(tmp_path / "monitord.toml").monitors
        checking = loop.create_task(MONITOR_TYPES["dns"](settings, tools).check())
        query, client = await loop.sock_recvfrom(server, 512)
        assert client[0] == "127.0.0.9"
        await loop.sock_sendto(server, query[:2] + b"\x80\x05" + query[4:], client)  # REFUSED
        assert (await checking).fields["address"] == "127.0.0.1"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connection_to_a_proxy_comes_from_the_address(
    tmp_path: Path, tools: Tools, scheme: str
) -> None:
    async with listener() as (port, clients):
        (tmp_path / "monitord.toml").write_text(
            f'[monitors.one]\nurl = "{scheme}://www.example.org/"\nproxy = "http://both.test:{port}"\n'
            'source_address = "127.0.0.9"\n'
        )
        (settings,) = read_settings(tmp_path / "monitord.toml").monitors
        monitor = MONITOR_TYPES["http"](settings, tools)
        seen = await monitor.check()
        await monitor.close()
        assert seen.reason is Reason.RESET
        assert await clients.get() == "127.0.0.9"


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        (
            '"localhost"',
            '"localhost" is not an IP address; write an address of this host, such as "192.0.2.10"',
        ),
        (
            '"0.0.0.0"',
            '"0.0.0.0" is not the address of a host; write an address of this host, such as "192.0.2.10"',
        ),
        ('["::1", "::2"]', "has two addresses of one family; keep one IPv4 and one IPv6 address"),
        (
            '"::1"\nip_family = 4',
            "has no IPv4 address, and ip_family is 4; add an IPv4 address, or remove ip_family",
        ),
        (
            '"::1"\nconnect_to = "127.0.0.1:1"',
            "has no IPv4 address, and 127.0.0.1 is an IPv4 address; add an IPv4 address",
        ),
    ],
    ids=["name", "unspecified", "two of a family", "other family", "address of the other family"],
)
def test_addresses_that_cannot_be_used_are_rejected(tmp_path: Path, keys: str, error: str) -> None:
    text = f'[monitors.one]\nurl = "http://a.test/"\nsource_address = {keys}\n'
    (found,) = errors_of(tmp_path, text)
    assert error in found


@pytest.mark.parametrize(
    "keys", ['url = "http+unix://%2Frun%2Fa.sock/"', 'type = "tcp"\naddress = "unix:/run/a.sock"']
)
def test_source_address_is_rejected_with_a_unix_socket(tmp_path: Path, keys: str) -> None:
    (found,) = errors_of(tmp_path, f'[monitors.one]\n{keys}\nsource_address = "127.0.0.1"\n')
    assert "has no effect with" in found
