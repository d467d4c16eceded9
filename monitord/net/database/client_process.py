"""The process in which a library talks to a database server: python -I client_process.py

The libraries trust the server: asyncpg 0.27 parses endless zeros in a loop that never ends. In this process they can
delay nothing else, the kernel limits CPU time and memory, and the parent kills it at the deadline.

Reads a request in JSON from standard input. It has two sockets to the parent, whose numbers are in the request: `data`,
on which the parent acts as the database server for the library, and `control`, with a JSON object in each packet. This
process sends {"ready": true}, {"start_tls": N} where N is the number of bytes it has received, and at the end one of
{"values": {…}, "value": …}, {"error": ["CODE", "TEXT"]} and {"failure": "KIND", "detail": "TEXT"}. The parent connects,
limits the data, and does the TLS handshake; after it, it sends one byte.

It imports nothing of the package, so that it starts quickly.
"""

# ruff: noqa: PLC0415 - each process needs one of the libraries

import asyncio
import json
import math
import re
import resource
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from datetime import date, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

MAX_CPU_S = 2
MAX_MEMORY_BYTES = 256 * 1024 * 1024
MAX_VALUE_CHARACTERS = 1024
MAX_DETAIL_CHARACTERS = 300
MAX_CONNECT_S = 24 * 60 * 60
"""Never reached: the parent ends this process at the deadline."""
CLOSE_TIMEOUT_S = 1.0
MAX_INTEGER = 2**63

MYSQL_QUERY_TIMEOUT = 3024  # ER_QUERY_TIMEOUT
MARIADB_QUERY_TIMEOUT = 1969  # ER_STATEMENT_TIMEOUT

Report = dict[str, Any]

POSTGRESQL_STATE = """
SELECT
    CASE WHEN pg_is_in_recovery() THEN 'replica' ELSE 'primary' END AS "replication.role",
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS "read_only",
    (SELECT sum(numbackends)::int FROM pg_stat_database) AS "connections",
    current_setting('max_connections')::int AS "connections.max",
    (SELECT count(*)::int FROM pg_stat_replication) AS "replication.replicas",
    CASE WHEN pg_is_in_recovery() THEN EXISTS (SELECT FROM pg_stat_wal_receiver) END AS "replication.running",
    CASE
        WHEN NOT pg_is_in_recovery() THEN NULL
        WHEN EXISTS (SELECT FROM pg_stat_wal_receiver) AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8)
    END AS "replication.lag"
"""
# A replica that has replayed all it has received has no lag, however long ago the last transaction of its primary was.


class Parent:
    """The sockets to the parent."""

    def __init__(self, data: int, control: int) -> None:
        self.data = socket.socket(fileno=data)
        self.control = socket.socket(fileno=control)

    def send(self, message: Report) -> None:
        self.control.send(json.dumps(message).encode())

    def start_tls(self, received_bytes: int) -> None:
        """Wait until the parent has done the TLS handshake with the server."""
        self.send({"start_tls": received_bytes})
        if not self.control.recv(1):
            sys.exit(1)  # the handshake failed: the parent knows why


def main() -> None:
    request = json.load(sys.stdin)
    parent = Parent(request["data"], request["control"])
    query = _CLIENTS[request["server"]]()
    # Limits of the service manager or of a container may be lower, and a system call filter may reject setrlimit(2).
    cpu_s = math.ceil(time.process_time()) + MAX_CPU_S
    for kind, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (limit, limit))
    parent.send({"ready": True})
    try:
        report = query(request, parent)
    except Exception as error:  # noqa: BLE001 - a library may raise anything on what a server sends
        detail = f"the client library failed: {type(error).__name__}: {error}"
        report = {"failure": "protocol_error", "detail": detail[:MAX_DETAIL_CHARACTERS]}
    parent.send(report)


QueryFunction = Callable[[Mapping[str, Any], Parent], Report]


# PostgreSQL


class _RelayLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections all lead to the parent, which also starts TLS on them."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> Any:
        return await super().create_connection(protocol_factory, sock=self._parent.data)

    async def start_tls(self, transport: Any, *_: Any, **__: Any) -> Any:
        self._parent.start_tls(1)  # PostgreSQL has accepted the request for TLS with one byte
        return transport


def _postgresql() -> QueryFunction:
    import asyncpg

    def query(request: Mapping[str, Any], parent: Parent) -> Report:
        loop = _RelayLoop(parent)
        try:
            return loop.run_until_complete(converse(request))
        except asyncpg.QueryCanceledError:
            return {"failure": "timeout_response", "detail": "the query was not complete within the timeout"}
        except asyncpg.ConnectionDoesNotExistError:  # by the library, without a message of the server
            raise
        except asyncpg.PostgresError as error:
            return {"error": [error.sqlstate or "", str(error)[:MAX_DETAIL_CHARACTERS]]}

    async def converse(request: Mapping[str, Any]) -> Report:
        connection = await asyncpg.connect(
            host="localhost",
            port=5432,
            user=request["user"],
            password=request["password"],
            database=request["database"],
            # Never used: the parent does the handshake.
            ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if request["tls"] else False,
            timeout=MAX_CONNECT_S,
            # Unnamed statements: PgBouncer may give each transaction another connection.
            statement_cache_size=0,
            server_settings={"application_name": "monitord"},
        )
        try:
            values = {"version": connection.get_settings().server_version.partition(" ")[0]}
            # Compatible servers may not have these functions of PostgreSQL.
            with suppress(asyncpg.SyntaxOrAccessError, asyncpg.FeatureNotSupportedError):
                row = await limited(connection, request, lambda: connection.fetchrow(POSTGRESQL_STATE))
                values |= {name: value for name, value in row.items() if value is not None}
            if not request["query"]:
                return {"values": values}
            rows = await limited(connection, request, lambda: connection.fetch(request["query"]))
            values["rows"] = len(rows)
            return {"values": values, "value": _plain(rows[0][0]) if rows and rows[0] else None}
        finally:
            with suppress(Exception):
                await connection.close(timeout=CLOSE_TIMEOUT_S)

    async def limited(
        connection: Any, request: Mapping[str, Any], fetch: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Fetch in a read-only transaction, which the server ends at the deadline."""
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = {_left_ms(request)}")
            return await fetch()

    return query


# MySQL and MariaDB


class _CountingSocket:
    """The socket to the parent, for PyMySQL: `received` is the number of bytes that it has taken."""

    def __init__(self, data: socket.socket) -> None:
        self._data = data
        self._file = data.makefile("rb")
        self.received = 0
        self.sendall = data.sendall
        self.settimeout = data.settimeout
        self.close = data.close

    def makefile(self, _mode: str) -> "_CountingSocket":
        return self

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.received += len(data)
        return data


class _RelayContext(ssl.SSLContext):
    """A context whose handshakes the parent does."""

    parent: Parent

    def wrap_socket(self, sock: Any, *_: Any, **__: Any) -> Any:
        self.parent.start_tls(sock.received)
        return sock


def _mysql() -> QueryFunction:
    import pymysql
    from pymysql.constants import CR

    lost = {CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST}

    def query(request: Mapping[str, Any], parent: Parent) -> Report:
        parent.data.setblocking(True)
        try:
            return _converse(_mysql_connection(request, parent), request)
        except _TlsMissingError:
            return {"failure": "tls_failed", "detail": "the server does not offer TLS"}
        except _MissingLibraryError as error:
            return {"error": [str(CR.CR_AUTH_PLUGIN_CANNOT_LOAD), str(error)[:MAX_DETAIL_CHARACTERS]]}
        except pymysql.MySQLError as error:
            code, text = error.args if len(error.args) == 2 else (0, "")  # noqa: PLR2004 - as the server sends them
            if code in {MYSQL_QUERY_TIMEOUT, MARIADB_QUERY_TIMEOUT}:
                return {
                    "failure": "timeout_response",
                    "detail": "the query was not complete within the timeout",
                }
            if not code or code in lost:  # by the library, without a message of the server
                raise
            return {"error": [str(code), text[:MAX_DETAIL_CHARACTERS]]}

    return query


def _mysql_connection(request: Mapping[str, Any], parent: Parent) -> Any:
    import pymysql
    from pymysql.constants import CLIENT, CR

    class MysqlConnection(pymysql.connections.Connection):  # type: ignore[misc]  # the library has no types
        """A connection that does not send the password unencrypted; the library does if the server asks for it."""

        def _request_authentication(self) -> None:
            if self.ssl and not self.server_capabilities & CLIENT.SSL:
                raise _TlsMissingError
            super()._request_authentication()

        def _process_auth(self, plugin_name: bytes, *rest: Any) -> Any:
            if plugin_name in {b"mysql_clear_password", b"dialog"} and not self._secure:
                raise pymysql.OperationalError(
                    CR.CR_AUTH_PLUGIN_CANNOT_LOAD, "the server asks for the password unencrypted; use TLS"
                )
            return super()._process_auth(plugin_name, *rest)

    context = None
    if request["tls"]:
        context = _RelayContext(ssl.PROTOCOL_TLS_CLIENT)
        context.parent = parent
    connection = MysqlConnection(
        host="localhost",
        user=request["user"],
        password=request["password"],
        database=request["database"] or None,
        charset="utf8mb4",
        ssl=context,
        # The versions from 2 use TLS if the server offers it.
        ssl_disabled=context is None,
        program_name="monitord",
        autocommit=None,
        defer_connect=True,
    )
    connection._secure = request["is_unix"]  # noqa: SLF001 - the library does the same on a Unix socket
    try:
        connection.connect(_CountingSocket(parent.data))
    except RuntimeError as error:
        raise _MissingLibraryError(f"{error}; use TLS, or install it") from None
    return connection


def _converse(connection: Any, request: Mapping[str, Any]) -> Report:
    from pymysql.constants import ER

    version = connection.get_server_info().removeprefix("5.5.5-")  # MariaDB 10 sends it before its version
    match = re.match(r"[0-9.]+(-MariaDB)?", version)
    values: dict[str, Any] = {"version": match[0] if match else version}
    with closing(connection):
        _rows_of(connection, "SET SESSION TRANSACTION READ ONLY")
        if "MariaDB" in version:
            limit = f"max_statement_time = {_left_ms(request) / 1000}"
        else:
            limit = f"max_execution_time = {_left_ms(request)}"
        # Compatible servers may not have this variable.
        _rows_of(connection, f"SET SESSION {limit}", ER.UNKNOWN_SYSTEM_VARIABLE)
        values |= _mysql_state(connection)
        if not request["query"]:
            return {"values": values}
        with connection.cursor() as cursor:
            cursor.execute(request["query"])
            rows = cursor.fetchall()
        values["rows"] = len(rows)
        return {"values": values, "value": _plain(rows[0][0]) if rows and rows[0] else None}


def _rows_of(connection: Any, statement: str, *codes: int) -> list[dict[str, Any]] | None:
    """Return the rows of a statement; None if it fails with one of these errors."""
    from pymysql import MySQLError
    from pymysql.cursors import DictCursor

    with connection.cursor(DictCursor) as cursor:
        try:
            cursor.execute(statement)
        except MySQLError as error:
            if error.args and error.args[0] in codes:
                return None
            raise
        return list(cursor.fetchall())


def _mysql_state(connection: Any) -> dict[str, Any]:
    from pymysql.constants import ER

    values: dict[str, Any] = {}
    variables = "SELECT @@global.read_only AS read_only, @@global.max_connections AS most"
    for row in _rows_of(connection, variables) or ():
        values["read_only"] = str(row["read_only"]).upper() not in {"0", "OFF"}
        values["connections.max"] = int(row["most"])
    for row in _rows_of(connection, "SHOW GLOBAL STATUS LIKE 'Threads_connected'") or ():
        values["connections"] = int(row["Value"])
    ignored = (ER.PARSE_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR)
    sources = _rows_of(connection, "SHOW REPLICA STATUS", *ignored)
    if sources is None:  # before MySQL 8.0.22 and MariaDB 10.5
        sources = _rows_of(connection, "SHOW SLAVE STATUS", *ignored)
    if sources is None:
        return values
    # MySQL has replaced the words, MariaDB has not.
    rows = [
        {name.replace("Slave", "Replica").replace("Master", "Source"): value for name, value in row.items()}
        for row in sources
    ]
    if not rows:
        return values | {"replication.role": "primary"}
    threads = {row.get(name) for row in rows for name in ("Replica_IO_Running", "Replica_SQL_Running")}
    values |= {"replication.role": "replica", "replication.running": threads == {"Yes"}}
    lags = [int(lag) for row in rows if (lag := row.get("Seconds_Behind_Source")) is not None]
    if len(lags) == len(rows):
        values["replication.lag"] = max(lags)
    return values


class _MissingLibraryError(Exception):
    """An authentication method needs a library that is not installed."""


class _TlsMissingError(Exception):
    """The server does not offer TLS, which is required."""


# Both


def _left_ms(request: Mapping[str, Any]) -> int:
    return max(1, int(1000 * (request["deadline"] - time.monotonic())))


def _plain(value: Any) -> str | int | float | bool | None:
    """Return the value as a number, a text of limited length, or the number of elements of a list."""
    if isinstance(value, Decimal) and value.is_finite():
        value = int(value) if value == value.to_integral_value() else float(value)
    elif isinstance(value, timedelta):
        value = value.total_seconds()
    elif isinstance(value, list | tuple):
        value = len(value)
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        value = float(value)
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, date | time_of_day):
        return value.isoformat()
    if isinstance(value, bytes):
        return value[:MAX_VALUE_CHARACTERS].decode(errors="replace")
    return str(value)[:MAX_VALUE_CHARACTERS]


_CLIENTS: Mapping[str, Callable[[], QueryFunction]] = {"postgresql": _postgresql, "mysql": _mysql}

if __name__ == "__main__":
    main()
