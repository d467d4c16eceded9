"""The type `redis`, with a real server of Debian and with scripted peers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Reason, Verdict
from monitord.monitors.database.redis import RedisMonitor
from tests.certificates import Authority
from tests.database_servers import PASSWORD, Database, redis
from tests.monitors.database.making import Make, judged, making
from tests.servers import Peer, Script, free_port, serve
from tests.stream_servers import HANG, Part
from tests.time_limits import within_growing_limit

INFO = (
    "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\n"
    "# Clients\r\nconnected_clients:5\r\nmaxclients:20\r\n"
    "# Memory\r\nused_memory:250\r\nmaxmemory:1000\r\n"
    "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:7\r\nconnected_slaves:2\r\n"
)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with making(RedisMonitor, tmp_path, default_username=None) as make:
        yield make


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with redis(tmp_path_factory.mktemp("redis"), "--maxmemory", "100mb") as server:
        yield server


# With a real server


@pytest.mark.slow
async def test_state_of_a_server_is_reported(make: Make, server: Database) -> None:
    seen = await make(f'address = "cache.test:{server.port}"').check()
    assert (seen.reason, seen.address) == (Reason.OK, "127.0.0.1"), seen.detail
    fields: dict[str, Any] = dict(seen.fields)
    assert seen.outcome == f"version {fields['version']}"
    assert (fields["replication.role"], fields["replication.replicas"]) == ("primary", 0)
    assert "replication.running" not in fields
    assert 1 <= fields["connections"] <= fields["connections.max"]
    assert fields["memory.max"] == 100 << 20
    assert 0 < fields["memory.used"] < fields["memory.max"]
    assert 0 < fields["memory.used_percent"] < 100
    assert "value" not in fields


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "value"),
    [
        ('["LLEN", "jobs"]', 3),
        ('["LRANGE", "jobs", "0", "-1"]', 3),
        ('["LINDEX", "jobs", "0"]', "a b"),
        ('["TYPE", "jobs"]', "list"),
        ('["GET", "missing"]', None),
        ('["EVAL", "return {1, {2, {}}}", "0"]', 2),
        ("""["EVAL", "return string.rep('x', 5000)", "0"]""", "x" * 1024),
    ],
)
async def test_value_of_a_command_is_reported(
    make: Make, server: Database, command: str, value: object
) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    await make(f'{address}\ncommand = ["DEL", "jobs"]').check()
    await make(f'{address}\ncommand = ["RPUSH", "jobs", "a b", "", "c"]').check()
    seen = await make(f"{address}\ncommand = {command}").check()
    assert seen.reason is Reason.OK, seen.detail
    assert seen.fields.get("value") == value


@pytest.mark.slow
async def test_condition_on_the_value_is_evaluated(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\ncommand = ["EVAL", "return 42", "0"]'
    passed = await judged(make(keys, up_when="value == 42"))
    failed = await judged(make(keys, up_when="value < 42"))
    assert (passed.verdict, failed.verdict) == (Verdict.PASS, Verdict.FAIL)


@pytest.mark.slow
async def test_database_is_selected(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    await make(f'{address}\ndatabase = 3\ncommand = ["SET", "color", "red"]').check()
    selected = await make(f'{address}\ndatabase = 3\ncommand = ["GET", "color"]').check()
    default = await make(f'{address}\ncommand = ["GET", "color"]').check()
    missing = await make(f"{address}\ndatabase = 500").check()
    assert (selected.fields.get("value"), default.fields.get("value")) == ("red", None)
    assert missing.outcome == "error ERR: DB index is out of range"


@pytest.mark.slow
async def test_unix_socket_is_used(make: Make, server: Database) -> None:
    monitor = make(f'address = "unix:{server.directory}/socket"')
    seen = await monitor.check()
    assert (seen.reason, seen.address) == (Reason.OK, f"{server.directory}/socket")
    assert not monitor.uses_network


@pytest.mark.slow
async def test_user_with_few_permissions_has_fewer_fields(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    rule = '["ACL", "SETUSER", "kim", "reset", "on", ">kim-kim-kim", "~jobs", "+ping", "+llen"]'
    assert (await make(f"{address}\ncommand = {rule}").check()).reason is Reason.OK
    keys = f'{address}\nusername = "kim"'
    seen = await make(f'{keys}\ncommand = ["LLEN", "jobs"]', password="kim-kim-kim").check()
    denied = await make(f'{keys}\ncommand = ["GET", "color"]', password="kim-kim-kim").check()
    assert (seen.reason, seen.outcome) == (Reason.OK, "connected")  # without INFO
    assert "version" not in seen.fields
    assert "value" in seen.fields
    assert denied.outcome.startswith("error NOPERM: ")


@pytest.mark.slow
async def test_errors_of_the_server_are_reported(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    denied = await make(address, password="wrong-wrong").check()
    assert denied.outcome.startswith("error WRONGPASS: ")
    unknown = make(f'{address}\ncommand = ["NONSENSE"]', up_when="response_time < 1m")
    assert (await judged(unknown)).verdict is Verdict.FAIL  # regardless of the conditions
    seen = await unknown.check()
    assert seen.reason is Reason.CONDITION_FAILED
    assert seen.outcome.startswith("error ERR: unknown command")


@pytest.mark.slow
async def test_replica_without_its_primary_fails(make: Make, tmp_path: Path) -> None:
    with redis(tmp_path, "--replicaof", "127.0.0.1", str(free_port())) as replica:
        address = f'address = "127.0.0.1:{replica.port}"'
        seen = await make(address).check()
        accepted = await judged(make(address, up_when='replication.role == "replica"'))
    assert (seen.reason, seen.fields["replication.role"]) == (Reason.CONDITION_FAILED, "replica")
    assert seen.outcome.endswith(", replica, replication is not running")
    assert accepted.verdict is Verdict.PASS


@pytest.mark.slow
async def test_tls_is_used_and_verified(
    make: Make, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("cache.test", directory=tmp_path)
    (tmp_path / "own").mkdir()
    own = authority.issue("monitor.test", directory=tmp_path / "own")
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(issued.chain_file)]
    options += ["--tls-key-file", str(issued.key_file), "--tls-ca-cert-file", ca_file]
    with redis(tmp_path, *options):
        address = f'address = "cache.test:{port}"'
        keys = f'{address}\ntls = true\nca_file = "{ca_file}"'
        pair = f'client_certificate_file = "{own.chain_file}"\nclient_key_file = "{own.key_file}"'
        seen = await make(f"{keys}\n{pair}").check()
        without = await make(keys).check()  # the server requires a certificate
        other = await make(f'{keys}\n{pair}\nserver_name = "other.test"').check()
        plain = await make(address).check()
    assert seen.reason is Reason.OK, seen.detail
    assert seen.fields["certificate.names"] == ("cache.test",)
    assert "phase.tls" in seen.fields
    assert without.reason in {Reason.TLS_FAILED, Reason.RESET}, without.detail
    assert other.reason is Reason.TLS_NAME_MISMATCH, other.detail
    assert plain.reason is Reason.RESET, plain.detail


# With scripted peers


def sending(data: bytes) -> Script:
    async def answer(peer: Peer) -> None:
        await peer.send(data)
        await peer.reader.read()

    return answer


async def closing(peer: Peer) -> None:
    await peer.reader.read(100)


async def test_fields_of_a_replica_are_reported(make: Make) -> None:
    data = f"+OK\r\n+PONG\r\n${len(INFO)}\r\n{INFO}\r\n".encode()
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, seen.outcome) == (Reason.OK, "version 8.1.0, replica"), seen.detail
    fields = {name: value for name, value in seen.fields.items() if "." in name and "phase" not in name}
    assert fields == {
        "connections.max": 20,
        "connections.used_percent": 25.0,
        "memory.used": 250,
        "memory.max": 1000,
        "memory.used_percent": 25.0,
        "replication.role": "replica",
        "replication.running": True,
        "replication.last_contact": 7,
        "replication.replicas": 2,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 100,
        b"\n",
        b"+OK\r\n\r\n",
        b":12x\r\n",
        b"$\r\n",
        b"*1\r\n" * 20,
    ],
    ids=["http", "ssh", "zeros", "empty line", "second line empty", "number", "no size", "nested"],
)
async def test_other_protocols_are_recognized(make: Make, data: bytes) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason is Reason.PROTOCOL_ERROR, seen.detail


@pytest.mark.parametrize(
    "reply",
    [
        b"$99999999999\r\n" + b"x" * 200_000,
        b"*99999999\r\n" + b":1\r\n" * 50_000,
        b"+" + b"x" * 200_000,
    ],
    ids=["string", "array", "line"],
)
async def test_size_of_a_reply_is_limited(make: Make, reply: bytes) -> None:
    async with serve(sending(reply)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason is Reason.TOO_LARGE, seen.detail


async def test_server_that_loads_its_data_fails(make: Make) -> None:
    async with serve(sending(b"-LOADING Redis is loading the dataset in memory\r\n")) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, seen.shows_connectivity) == (Reason.CONDITION_FAILED, True)
    assert seen.outcome == "error LOADING: Redis is loading the dataset in memory"


async def test_secrets_and_control_characters_are_not_shown(make: Make) -> None:
    reply = f"-{PASSWORD}\x1b[2J {PASSWORD}\x1b[2J {'x' * 1000}\r\n"
    async with serve(sending(reply.encode())) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    for text in (seen.detail, seen.outcome or ""):
        assert PASSWORD not in text
        assert "\x1b" not in text
        assert len(text) < 300


async def test_server_that_is_silent_or_absent_or_closes_fails(make: Make) -> None:
    async with serve(Part(HANG).play) as server:
        keys = f'address = "127.0.0.1:{server.port}"'
        silent = await within_growing_limit(
            lambda limit_s: make(keys, timeout_s=limit_s).check(),
            lambda seen: seen.reason is Reason.TIMEOUT_RESPONSE,
        )
    assert silent.reason is Reason.TIMEOUT_RESPONSE
    async with serve(closing) as server:
        closed = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (closed.reason, closed.outcome) == (
        Reason.RESET,
        "the peer closed the connection before its response",
    )
    port = free_port()
    absent = await make(f'address = "127.0.0.1:{port}"').check()
    assert (absent.reason, absent.outcome) == (Reason.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_check_sends_the_expected_commands(make: Make) -> None:
    received = bytearray()
    done = asyncio.Event()

    async def answer(peer: Peer) -> None:
        for reply in (b"+OK\r\n", b"+PONG\r\n", b"+OK\r\n", b"$0\r\n\r\n", b":1\r\n"):
            received.extend(await peer.reader.read(1000))
            await peer.send(reply)
        done.set()

    async with serve(answer) as server:
        keys = 'username = "kim"\ndatabase = 2\ncommand = ["GET", "ä b"]'
        seen = await make(f'address = "127.0.0.1:{server.port}"\n{keys}').check()
        await done.wait()
    assert seen.reason is Reason.OK, seen.detail
    assert received.decode() == (
        f"*3\r\n$4\r\nAUTH\r\n$3\r\nkim\r\n${len(PASSWORD)}\r\n{PASSWORD}\r\n"
        "*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n*1\r\n$4\r\nINFO\r\n"
        "*2\r\n$3\r\nGET\r\n$4\r\nä b\r\n"
    )
