"""The type `postgresql`, with real servers of Debian and with scripted peers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Reason, Verdict
from monitord.monitors import PROCESSES
from monitord.monitors.database.postgresql import PostgresqlMonitor
from tests.certificates import Authority
from tests.database_servers import PASSWORD, Database, postgresql
from tests.monitors.database.making import Make, judged, making
from tests.servers import Peer, Script, free_port, serve

# Each check starts a process.
pytestmark = pytest.mark.slow

SETUP = """\
CREATE ROLE kim LOGIN PASSWORD 'kim-kim-kim';
CREATE DATABASE shop;
CREATE TYPE color AS ENUM ('red', 'green');
CREATE TABLE stock AS SELECT 7 AS apples;
"""

AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
READY = b"Z\0\0\0\x05I"
VERSION = b"S\0\0\0\x18server_version\0" + b"16.4\0"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with making(PostgresqlMonitor, tmp_path, default_username="postgres") as make:
        yield make


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with postgresql(setup=SETUP) as server:
        yield server


# With a real server


async def test_state_of_a_server(make: Make, server: Database) -> None:
    monitor = make(f'address = "db.test:{server.port}"')
    seen = await monitor.check()
    assert (seen.reason, seen.address) == (Reason.OK, "127.0.0.1"), seen.detail
    assert (monitor.pool, monitor.uses_network) == (PROCESSES, True)
    fields: dict[str, Any] = dict(seen.fields)
    assert seen.outcome == f"version {fields['version']}"
    assert (fields["replication.role"], fields["replication.replicas"]) == ("primary", 0)
    assert fields["read_only"] is False
    assert 1 <= fields["connections"] <= fields["connections.max"]
    assert {"phase.connect", "phase.processing", "response_time"} <= set(fields)
    assert not {"value", "rows", "replication.running", "replication.lag"} & set(fields)


RESULTS: dict[str, tuple[object, int]] = {
    "SELECT 42": (42, 1),
    "SELECT count(*) FROM generate_series(1, 100)": (100, 1),
    "VALUES (1, 'a'), (2, 'b')": (1, 2),
    "SELECT 1.50::numeric": (1.5, 1),
    "SELECT 12::numeric": (12, 1),
    "SELECT true": (True, 1),
    "SELECT 'a' || repeat('x', 2000)": ("a" + "x" * 1023, 1),
    "SELECT interval '90 seconds'": (90.0, 1),
    "SELECT timestamptz '2026-03-01 12:00+00'": ("2026-03-01T12:00:00+00:00", 1),
    "SELECT array[4, 5, 6]": (3, 1),
    "SELECT 'green'::color": ("green", 1),
    "SELECT 'NaN'::float8": ("nan", 1),
    "SELECT 10::numeric ^ 30": (1e30, 1),
    "SELECT '\\x6162'::bytea": ("ab", 1),
    "SELECT NULL": (None, 1),
    "SELECT 1 WHERE false": (None, 0),
    "SHOW max_connections": ("100", 1),
    "SELECT current_database()": ("postgres", 1),
}
"""The value and the number of rows of queries."""


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
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT apples FROM stock"'
    passed = await judged(make(keys, up_when="value == 7 and rows == 1"))
    failed = await judged(make(keys, up_when="value > 7"))
    assert (passed.verdict, failed.verdict) == (Verdict.PASS, Verdict.FAIL)


async def test_database_is_selected(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT current_database()"\ndatabase'
    selected = await make(f'{keys} = "shop"').check()
    missing = await make(f'{keys} = "none"').check()
    assert selected.fields.get("value") == "shop"
    assert missing.outcome == 'error 3D000: database "none" does not exist'


async def test_unix_socket(make: Make, server: Database) -> None:
    path = f"{server.directory}/.s.PGSQL.{server.port}"
    monitor = make(f'address = "unix:{path}"')
    seen = await monitor.check()
    assert (seen.reason, seen.address) == (Reason.OK, path), seen.detail
    assert not monitor.uses_network


async def test_user_with_few_permissions(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT apples FROM stock"'
    denied = await make(keys, username="kim", password="kim-kim-kim").check()
    assert denied.outcome == "error 42501: permission denied for table stock"
    seen = await make(f'address = "127.0.0.1:{server.port}"', username="kim", password="kim-kim-kim").check()
    assert seen.reason is Reason.OK, seen.detail
    assert {"connections", "replication.role"} <= set(seen.fields)


async def test_errors_of_the_server(make: Make, server: Database) -> None:
    address = f'address = "127.0.0.1:{server.port}"'
    denied = await make(address, password="wrong-wrong").check()
    assert denied.outcome == 'error 28P01: password authentication failed for user "postgres"'
    assert denied.shows_connectivity is True
    unknown = make(f'{address}\nquery = "SELECT nonsense"', up_when="response_time < 1h")
    assert (await judged(unknown)).verdict is Verdict.FAIL  # regardless of the conditions
    seen = await unknown.check()
    assert (seen.reason, seen.outcome) == (
        Reason.CONDITION_FAILED,
        'error 42703: column "nonsense" does not exist',
    )


@pytest.mark.parametrize(
    "query", ["DROP TABLE stock", "UPDATE stock SET apples = 0", "COMMIT; DROP TABLE stock"]
)
async def test_query_cannot_write(make: Make, server: Database, query: str) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery'
    rejected = await make(f'{keys} = "{query}"').check()
    after = await make(f'{keys} = "SELECT apples FROM stock"').check()
    assert (rejected.outcome or "").startswith(("error 25006", "error 42601")), rejected.outcome
    assert after.fields.get("value") == 7


async def test_query_that_takes_too_long(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery = "SELECT pg_sleep(3600)"'
    seen = await make(keys, timeout_s=4.0).check()
    assert seen.reason in {Reason.TIMEOUT_RESPONSE, Reason.PROBER_EXHAUSTED}, seen.detail


async def test_timeout_of_the_server_is_not_a_closed_connection(make: Make) -> None:
    """The client closes the connection after the error, and the server its side, before the result is known."""

    async def answer(peer: Peer) -> None:
        await peer.reader.read(1000)
        body = b"SFATAL\0VFATAL\0C57014\0Mcanceling statement due to statement timeout\0\0"
        await peer.send(b"E" + (len(body) + 4).to_bytes(4) + body)

    async with serve(answer) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, seen.outcome) == (
        Reason.TIMEOUT_RESPONSE,
        "the query was not complete within the timeout",
    )


async def test_large_result(make: Make, server: Database) -> None:
    keys = f'address = "127.0.0.1:{server.port}"\nquery'
    many = await make(f'{keys} = "SELECT generate_series(1, 1000000)"').check()
    long = await make(f"{keys} = \"SELECT repeat('x', 1000000)\"").check()
    assert (many.reason, long.reason) == (Reason.TOO_LARGE, Reason.TOO_LARGE)


async def test_replica(make: Make) -> None:
    with postgresql() as primary, postgresql(source=primary) as replica:
        keys = f'address = "127.0.0.1:{replica.port}"'
        # The replica connects to its primary after its start.
        while not (first := await make(keys).check()).fields.get("replication.running"):
            assert first.fields.get("replication.role") == "replica", first.detail
        seen = await make(keys).check()
        of_primary = await make(f'address = "127.0.0.1:{primary.port}"').check()
        assert (seen.reason, seen.outcome) == (Reason.OK, f"version {seen.fields['version']}, replica")
        assert (seen.fields["read_only"], seen.fields["replication.lag"]) == (True, 0)
        assert of_primary.fields["replication.replicas"] == 1


async def test_replica_without_its_primary_fails(make: Make) -> None:
    with postgresql() as primary, postgresql("-c", "primary_conninfo=port=1", source=primary) as replica:
        keys = f'address = "127.0.0.1:{replica.port}"'
        seen = await make(keys).check()
        accepted = await judged(make(keys, up_when='replication.role == "replica"'))
    assert (seen.reason, seen.fields["replication.running"]) == (Reason.CONDITION_FAILED, False)
    assert (seen.outcome or "").endswith(", replica, replication is not running")
    assert accepted.verdict is Verdict.PASS


async def test_tls(make: Make, authority: Authority, ca_file: str, tmp_path: Path) -> None:
    issued = authority.issue("db.test", directory=tmp_path)
    own = authority.issue("monitor.test", directory=tmp_path, file="own")
    files = {"server.pem": issued.chain_file, "server.key": issued.key_file, "ca.pem": Path(ca_file)}
    options = ["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key", "ssl_ca_file=ca.pem"]
    rule = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\nhost all all all reject"
    with postgresql(
        *(word for option in options for word in ("-c", option)), hba=rule, files=files
    ) as server:
        address = f'address = "db.test:{server.port}"'
        keys = f'{address}\ntls = true\nca_file = "{ca_file}"'
        pair = f'client_certificate_file = "{own.chain_file}"\nclient_key_file = "{own.key_file}"'
        seen = await make(f'{keys}\n{pair}\nmin_tls_version = "1.3"\nquery = "SELECT 1"').check()
        without = await make(keys).check()
        other = await make(f'{keys}\n{pair}\nserver_name = "other.test"').check()
        untrusted = await make(f"{address}\ntls = true").check()
        plain = await make(address).check()
    assert seen.reason is Reason.OK, seen.detail
    assert (seen.fields["certificate.names"], seen.fields["tls.version"]) == (("db.test",), "TLSv1.3")
    assert "phase.tls" in seen.fields
    assert "connection requires a valid client certificate" in (without.outcome or ""), without.detail
    assert other.reason is Reason.TLS_NAME_MISMATCH, other.detail
    assert untrusted.reason is Reason.TLS_UNTRUSTED, untrusted.detail
    assert (plain.outcome or "").startswith("error 28000: pg_hba.conf rejects connection"), plain.detail


async def test_server_without_tls_gets_no_password(make: Make) -> None:
    received = bytearray()

    async def decline(peer: Peer) -> None:
        received.extend(await peer.reader.read(1000))
        await peer.send(b"N")
        received.extend(await peer.reader.read())

    async with serve(decline) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\ntls = true').check()
    assert (seen.reason, seen.outcome) == (Reason.TLS_FAILED, "the server does not offer TLS")
    assert received == SSL_REQUEST


# With scripted peers


def sending(data: bytes) -> Script:
    """Send the data after the first request, and nothing more."""

    async def answer(peer: Peer) -> None:
        await peer.reader.read(1000)
        await peer.send(data)
        await peer.reader.read()
        await peer.hang()

    return answer


async def closing(peer: Peer) -> None:
    await peer.reader.read(1000)


@pytest.mark.parametrize("keys", ["", "tls = true"], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 60_000,
        b"R\xff\xff\xff\xff" * 20,
    ],
    ids=["http", "ssh", "zeros", "length"],
)
async def test_other_protocols_are_recognized(make: Make, data: bytes, keys: str) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\n{keys}').check()
    assert (seen.reason, seen.outcome) == (
        Reason.PROTOCOL_ERROR,
        "the response is not of the protocol of PostgreSQL",
    )


async def test_data_before_the_tls_handshake_is_rejected(make: Make) -> None:
    async with serve(sending(b"S" + AUTHENTICATION_OK)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\ntls = true').check()
    assert seen.reason is Reason.PROTOCOL_ERROR, seen.detail


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (AUTHENTICATION_OK + READY, Reason.PROTOCOL_ERROR),
        (AUTHENTICATION_OK + VERSION + READY + b"T\0\0\0\x06\xff\xff", Reason.PROTOCOL_ERROR),
        (AUTHENTICATION_OK + b"D" * 200_000, Reason.TOO_LARGE),
    ],
    ids=["no version", "row without columns", "endless"],
)
async def test_broken_messages_end_the_check(make: Make, data: bytes, reason: Reason) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert seen.reason is reason, seen.detail


async def test_library_that_never_returns_is_ended(make: Make) -> None:
    """asyncpg 0.27 parses zeros after the authentication in an endless loop."""
    async with serve(sending(AUTHENTICATION_OK + b"\0" * 500)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"', timeout_s=10.0).check()
    assert seen.reason in {Reason.TIMEOUT_RESPONSE, Reason.PROTOCOL_ERROR, Reason.PROBER_EXHAUSTED}, (
        seen.detail
    )


@pytest.mark.parametrize(
    ("data", "keys", "reason"),
    [
        (b"", "", Reason.TIMEOUT_RESPONSE),
        (b"R\0\0\0\x08\0\0", "", Reason.TIMEOUT_RESPONSE),
        (b"S", "tls = true", Reason.TIMEOUT_TLS),
    ],
    ids=["silent", "half a message", "half a handshake"],
)
async def test_server_that_stops_responding(make: Make, data: bytes, keys: str, reason: Reason) -> None:
    async with serve(sending(data)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"\n{keys}', timeout_s=5.0).check()
    assert seen.reason in {reason, Reason.PROBER_EXHAUSTED}, seen.detail


async def test_server_that_is_absent_or_closes(make: Make) -> None:
    async with serve(closing) as server:
        address = f'address = "127.0.0.1:{server.port}"'
        for monitor in (make(address), make(f"{address}\ntls = true")):
            closed = await monitor.check()
            assert (closed.reason, closed.outcome) == (
                Reason.RESET,
                "the peer closed the connection before its response",
            )
    port = free_port()
    absent = await make(f'address = "127.0.0.1:{port}"').check()
    assert (absent.reason, absent.outcome) == (Reason.REFUSED, f"connection to 127.0.0.1:{port} refused")


async def test_secrets_and_control_characters_are_not_shown(make: Make) -> None:
    text = f"{PASSWORD}\x1b[2J {PASSWORD} {'x' * 1000}".encode()
    body = b"SFATAL\0VFATAL\0C28P01\0M" + text + b"\0\0"
    error = b"E" + (len(body) + 4).to_bytes(4) + body
    async with serve(sending(error)) as server:
        seen = await make(f'address = "127.0.0.1:{server.port}"').check()
    assert (seen.reason, (seen.outcome or "")[:12]) == (Reason.CONDITION_FAILED, "error 28P01:")
    for shown in (seen.detail, seen.outcome or ""):
        assert PASSWORD not in shown
        assert "\x1b" not in shown
        assert len(shown) < 300


async def test_password_is_not_in_the_arguments_or_the_environment_of_the_process(make: Make) -> None:
    seen: list[bytes] = []

    async def answer(peer: Peer) -> None:
        await peer.reader.read(1000)
        seen.extend(_client_processes())

    async with serve(answer) as server:
        await make(f'address = "127.0.0.1:{server.port}"').check()
    assert len(seen) == 1
    assert PASSWORD.encode() not in seen[0]


def _client_processes() -> Iterator[bytes]:
    """Return the arguments and the environment of each child that runs a client."""
    for thread in Path("/proc/self/task").iterdir():
        for pid in (thread / "children").read_text().split():
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"client_process" in arguments:
                yield arguments + Path(f"/proc/{pid}/environ").read_bytes()


async def test_cancelled_check_ends_its_process(make: Make) -> None:
    async with serve(sending(b"")) as server:
        check = asyncio.create_task(make(f'address = "127.0.0.1:{server.port}"').check())
        await server.is_reached.wait()
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
    # The fixture of all tests fails if the process is left.
