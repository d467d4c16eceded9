"""The type `mysql`, with MariaDB of Debian and with scripted peers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Reason, Verdict
from monitord.monitors import PROCESSES
from monitord.monitors.database.mysql import MysqlMonitor
from tests.certificates import Authority
from tests.database_servers import PASSWORD, Database, mysql
from tests.monitors.database.making import Make, judged, making
from tests.servers import Peer, Script, free_port, serve

# Each check starts a process.
pytestmark = pytest.mark.slow

SETUP = """\
CREATE USER kim@127.0.0.1 IDENTIFIED BY 'kim-kim-kim';
CREATE DATABASE shop;
CREATE TABLE shop.stock AS SELECT 7 AS apples;
"""
RESULTS: dict[str, tuple[object, int]] = {
    "SELECT 42": (42, 1),
    "SELECT count(*) FROM shop.seq_1_to_100": (100, 1),
    "SELECT 1 UNION SELECT 2": (1, 2),
    "SELECT 1.50": (1.5, 1),
    "SELECT CAST(12 AS DECIMAL(5, 2))": (12, 1),
    "SELECT 2.5e0": (2.5, 1),
    "SELECT concat('a', repeat('x', 2000))": ("a" + "x" * 1023, 1),
    "SELECT CAST('00:01:30' AS TIME)": (90.0, 1),
    "SELECT CAST('2026-03-01 12:00:00' AS DATETIME)": ("2026-03-01T12:00:00", 1),
    "SELECT CAST('ab' AS BINARY)": ("ab", 1),
    "SELECT 18446744073709551615": (18446744073709551616.0, 1),
    "SELECT NULL": (None, 1),
    "SELECT 1 WHERE false": (None, 0),
    "SELECT 7 % 4, '%s'": (3, 1),
    "DO 1": (None, 0),
}
"""The value and the number of rows of queries."""

VERSION = b"\x0a8.0.36\0"
PLUGIN = b"mysql_native_password\0"


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def greeting(capabilities: int) -> bytes:
    """Return the first packet of a server: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html."""
    low, high = (capabilities & 0xFFFF).to_bytes(2, "little"), (capabilities >> 16).to_bytes(2, "little")
    salt = b"12345678"
    rest = low + b"\x2d\x02\0" + high + b"\x15" + b"\0" * 10 + b"123456789012\0" + PLUGIN
    return packet(0, VERSION + b"\x01\0\0\0" + salt + b"\0" + rest)


PLAIN, WITH_TLS = 0x00_08_82_09, 0x00_08_8A_09
"""Capabilities without and with CLIENT_SSL."""
OK = packet(2, b"\0\0\0\x02\0\0\0")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with making(MysqlMonitor, tmp_path, default_username="root") as make:
        yield make


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with mysql(setup=SETUP) as server:
        yield server


# With a real server


async def test_state_of_a_server(make: Make, server: Database) -> None:
    monitor = make(f'address = "db.test:{server.port}"')
    seen = await monitor.check()
    assert (seen.reason, seen.address) == (Reason.OK, "127.0.0.1"), seen.detail
    assert (monitor.pool, monitor.uses_network) == (PROCESSES, True)
    fields: dict[str, Any] = dict(seen.fields)
    assert seen.outcome == f"version {fields['version']}"
    assert fields["version"].endswith("-MariaDB")
    assert (fields["replication.role"], fields["read_only"]) == ("primary", False)
    assert 1 <= fields["connections"] <= fields["connections.max"]
    assert {"phase.connect", "phase.processing", "response_time"} <= set(fields)
    assert not {"value", "rows", "replication.running", "replication.lag"} & set(fields)


async def test_value_of_a_query(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    checks = [make(f"{address}\nquery = '''{query}'''").check() for query in RESULTS]
    observed = await asyncio.gather(*checks)
    found = {
        query: (seen.fields.get("value"), seen.fields.get("rows"))
        for query, seen in zip(RESULTS, observed, strict=True)
    }
    assert found == RESULTS


async def test_condition_on_the_value(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\ndatabase = "shop"\nquery = "SELECT apples FROM stock"'
    passed = await judged(make(keys, up_when="value == 7 and rows == 1"))
    failed = await judged(make(keys, up_when="value > 7"))
    assert (passed.verdict, failed.verdict) == (Verdict.PASS, Verdict.FAIL)


async def test_database_is_selected(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT database()"'
    selected = await make(f'{keys}\ndatabase = "shop"').check()
    default = await make(keys).check()
    missing = await make(f'{keys}\ndatabase = "none"').check()
    assert (selected.fields.get("value"), default.fields.get("value")) == ("shop", None)
    assert missing.outcome == "error 1049: Unknown database 'none'"


async def test_unix_socket(make: Make, server: Database) -> None:
    monitor = make(f'address = "unix:{server.directory}/socket"')
    seen = await monitor.check()
    assert (seen.reason, seen.address) == (Reason.OK, f"{server.directory}/socket"), seen.detail
    assert not monitor.uses_network


async def test_user_with_few_permissions(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    seen = await make(address, username="kim", password="kim-kim-kim").check()
    assert seen.reason is Reason.OK, seen.detail
    assert "connections" in seen.fields
    assert "replication.role" not in seen.fields
    query = 'query = "SELECT apples FROM shop.stock"'
    denied = await make(f"{address}\n{query}", username="kim", password="kim-kim-kim").check()
    assert (denied.outcome or "").startswith("error 1142: SELECT command denied to user"), denied.detail


async def test_errors_of_the_server(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    denied = await make(address, password="wrong-wrong").check()
    assert (denied.outcome or "").startswith("error 1045: Access denied for user 'root'@"), denied.detail
    assert denied.shows_connectivity is True
    unknown = make(f'{address}\nquery = "SELECT nonsense"', up_when="response_time < 1h")
    assert (await judged(unknown)).verdict is Verdict.FAIL  # regardless of the conditions
    seen = await unknown.check()
    assert (seen.reason, (seen.outcome or "")[:10]) == (Reason.CONDITION_FAILED, "error 1054")


@pytest.mark.parametrize(
    "query", ["DROP TABLE stock", "UPDATE stock SET apples = 0", "SELECT 1; DROP TABLE stock"]
)
async def test_query_cannot_write(make: Make, server: Database, query: str) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\ndatabase = "shop"\nquery'
    rejected = await make(f'{keys} = "{query}"').check()
    after = await make(f'{keys} = "SELECT apples FROM stock"').check()
    assert (rejected.outcome or "").startswith(("error 1792", "error 1064")), rejected.outcome
    assert after.fields.get("value") == 7


async def test_query_that_takes_too_long(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT sleep(3600)"'
    seen = await make(keys, timeout_s=4.0).check()
    assert seen.reason in {Reason.TIMEOUT_RESPONSE, Reason.PROBER_EXHAUSTED}, seen.detail


async def test_large_result(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery'
    many = await make(f'{keys} = "SELECT * FROM shop.seq_1_to_1000000"').check()
    long = await make(f"{keys} = \"SELECT repeat('x', 1000000)\"").check()
    assert (many.reason, long.reason) == (Reason.TOO_LARGE, Reason.TOO_LARGE)


async def test_replica(make: Make) -> None:
    with mysql("--log-bin=log", "--server-id=1", setup=SETUP) as primary:
        address = f"MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}"
        source = f"{address}, MASTER_USER='root', MASTER_PASSWORD='{PASSWORD}'"
        start = f"CHANGE MASTER TO {source}, MASTER_LOG_FILE='log.999999';\nSET GLOBAL read_only = 1;\n"
        with mysql("--server-id=2", setup=SETUP + start) as replica:
            keys = f'address = "127.0.0.1:{replica.port}"'
            stopped = await make(keys).check()
            accepted = await judged(make(keys, up_when='replication.role == "replica"'))
        start = start.replace(", MASTER_LOG_FILE='log.999999'", "") + "START SLAVE;\n"
        with mysql(
            "--server-id=2", "--replicate-ignore-db=shop", "--slave-skip-errors=all", setup=SETUP + start
        ) as replica:
            keys = f'address = "127.0.0.1:{replica.port}"'
            # The replica connects to its primary after its start.
            while (
                running := await make(keys).check()
            ).reason is not Reason.OK or "replication.lag" not in running.fields:
                assert running.fields.get("replication.role") == "replica", running.detail
    assert (stopped.reason, stopped.fields["replication.running"]) == (Reason.CONDITION_FAILED, False)
    assert (stopped.outcome or "").endswith(", replica, replication is not running")
    assert accepted.verdict is Verdict.PASS
    assert (running.fields["read_only"], running.fields["replication.running"]) == (True, True)
    assert "replication.lag" in running.fields


async def test_tls(make: Make, authority: Authority, ca_file: str, tmp_path: Path) -> None:
    issued = authority.issue("db.test", directory=tmp_path)
    own = authority.issue("monitor.test", directory=tmp_path, file="own")
    files = {"server.pem": issued.chain_file, "server.key": issued.key_file, "ca.pem": Path(ca_file)}
    options = ["--ssl-cert=server.pem", "--ssl-key=server.key", "--ssl-ca=ca.pem"]
    rule = "ALTER USER kim@127.0.0.1 REQUIRE X509;\n"
    with mysql(*options, setup=SETUP + rule, files=files) as server:
        address = f'address = "db.test:{server.port}"'
        keys = f'{address}\ntls = true\nca_file = "{ca_file}"'
        pair = f'client_certificate_file = "{own.chain_file}"\nclient_key_file = "{own.key_file}"'
        kim = {"username": "kim", "password": "kim-kim-kim"}
        seen = await make(f'{keys}\n{pair}\nmin_tls_version = "1.3"\nquery = "SELECT 1"', **kim).check()
        without = await make(keys, **kim).check()
        other = await make(f'{keys}\n{pair}\nserver_name = "other.test"').check()
        untrusted = await make(f"{address}\ntls = true").check()
        plain = await make(address, **kim).check()
    assert seen.reason is Reason.OK, seen.detail
    assert (seen.fields["certificate.names"], seen.fields["tls.version"]) == (("db.test",), "TLSv1.3")
    assert "phase.tls" in seen.fields
    assert (without.outcome or "").startswith("error 1045: "), without.detail
    assert other.reason is Reason.TLS_NAME_MISMATCH, other.detail
    assert untrusted.reason is Reason.TLS_UNTRUSTED, untrusted.detail
    assert (plain.outcome or "").startswith("error 1045: "), plain.detail


# With scripted peers


def sending(data: bytes) -> Script:
    """Send the data, and nothing more."""

    async def answer(peer: Peer) -> None:
        await peer.send(data)
        await peer.reader.read()
        await peer.hang()

    return answer


def answering(*packets: bytes) -> Script:
    """Send each of the packets, the second and later ones after data of the client."""

    async def answer(peer: Peer) -> None:
        for number, data in enumerate(packets):
            if number:
                await peer.reader.read(1000)
            await peer.send(data)
        await peer.hang()

    return answer


async def closing(peer: Peer) -> None:
    await peer.send(greeting(PLAIN))
    await peer.reader.read(1000)


async def test_server_without_tls_gets_no_password(make: Make) -> None:
    received = bytearray()

    async def greet(peer: Peer) -> None:
        await peer.send(greeting(PLAIN))
        received.extend(await peer.reader.read())

    async with serve(greet) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\ntls = true').check()
    assert (seen.reason, seen.outcome) == (Reason.TLS_FAILED, "the server does not offer TLS")
    assert received == b""


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog"])
async def test_password_is_not_sent_unencrypted(make: Make, plugin: str) -> None:
    received = bytearray()

    async def ask(peer: Peer) -> None:
        await peer.send(greeting(PLAIN))
        received.extend(await peer.reader.read(1000))
        await peer.send(packet(2, b"\xfe" + plugin.encode() + b"\0\x02Password: "))
        received.extend(await peer.reader.read())

    async with serve(ask) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.outcome == "error 2059: the server asks for the password unencrypted; use TLS"
    assert PASSWORD.encode() not in received


@pytest.mark.parametrize("keys", ["", "tls = true"], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 60_000, b"\xff\xff\xff\0\x0a"],
    ids=["http", "ssh", "zeros", "length"],
)
async def test_other_protocols_are_recognized(make: Make, data: bytes, keys: str) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\n{keys}').check()
    assert (seen.reason, seen.outcome) == (
        Reason.PROTOCOL_ERROR,
        "the response is not of the protocol of MySQL",
    )


async def test_data_before_the_tls_handshake_is_rejected(make: Make) -> None:
    async with serve(sending(greeting(WITH_TLS) + OK)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\ntls = true').check()
    assert (seen.reason, seen.outcome) == (
        Reason.PROTOCOL_ERROR,
        "the peer continued without encryption at the start of the TLS handshake",
    )


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        ((packet(0, b"\x0a"),), Reason.PROTOCOL_ERROR),
        ((greeting(PLAIN), b"\0" * 100), Reason.PROTOCOL_ERROR),
        ((greeting(PLAIN), OK, packet(1, b"\xff")), Reason.PROTOCOL_ERROR),
        ((greeting(PLAIN), OK, b"\xff\xff\xff\x01" + b"x" * 200_000), Reason.TOO_LARGE),
    ],
    ids=["short greeting", "zeros", "short error", "endless"],
)
async def test_broken_packets_end_the_check(make: Make, packets: tuple[bytes, ...], reason: Reason) -> None:
    async with serve(answering(*packets)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason is reason, seen.detail


async def test_server_that_asks_for_a_file_gets_none(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content of a file")
    received = bytearray()

    async def ask(peer: Peer) -> None:
        await peer.send(greeting(PLAIN))
        await peer.reader.read(1000)
        await peer.send(OK)
        await peer.reader.read(1000)
        await peer.send(packet(1, b"\xfb" + str(file).encode()))
        received.extend(await peer.reader.read(1000))

    async with serve(ask) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason in {Reason.PROTOCOL_ERROR, Reason.RESET}, seen.detail
    assert b"content" not in received


@pytest.mark.parametrize(
    ("packets", "keys", "reason"),
    [
        ((b"",), "", Reason.TIMEOUT_RESPONSE),
        ((greeting(PLAIN)[:20],), "", Reason.TIMEOUT_RESPONSE),
        ((greeting(PLAIN), OK), "", Reason.TIMEOUT_RESPONSE),
        ((greeting(WITH_TLS),), "tls = true", Reason.TIMEOUT_TLS),
    ],
    ids=["silent", "half a greeting", "no result", "half a handshake"],
)
async def test_server_that_stops_responding(
    make: Make, packets: tuple[bytes, ...], keys: str, reason: Reason
) -> None:
    async with serve(answering(*packets)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\n{keys}', timeout_s=5.0).check()
    assert seen.reason in {reason, Reason.PROBER_EXHAUSTED}, seen.detail


async def test_server_that_is_absent_or_closes(make: Make) -> None:
    async with serve(closing) as server:
        closed = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (closed.reason, closed.outcome) == (
        Reason.RESET,
        "the peer closed the connection before its response",
    )
    port = free_port()
    absent = await make(f'address = "127.0.0.1:{port}"').check()
    assert (absent.reason, absent.outcome) == (Reason.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_error_instead_of_a_greeting(make: Make) -> None:
    text = f"{PASSWORD}\x1b[2J {PASSWORD} {'x' * 1000}"
    async with serve(sending(packet(0, b"\xff\x10\x04" + text.encode()))) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, (seen.outcome or "")[:11]) == (Reason.CONDITION_FAILED, "error 1040:")
    for shown in (seen.detail, seen.outcome or ""):
        assert PASSWORD not in shown
        assert "\x1b" not in shown
        assert len(shown) < 300
