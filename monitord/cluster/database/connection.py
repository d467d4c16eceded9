"""Connections to the database: `Session` connects when it is used, and again after it has lost its connection.

libpq would resolve names in the event loop, and psycopg 3.1 waits for the first of several hosts until the connection
attempt ends; therefore the hosts are resolved here, and tried one after the other.
"""

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from monitord.clock import Clock
from monitord.errors import ClusterError, NotMemberError
from monitord.net.base.addressing import is_loopback
from monitord.net.base.resolver import ResolveError, Resolver, literal_address
from monitord.text import plain, shortened

STATEMENT_S = 5
"""The limit of a statement, and of the time between two statements of a transaction, kept by the server."""
OPERATION_S = 7.0
"""The limit of an operation, kept by this host, in case the server or the network does not respond."""
CONNECT_S = 3.0
"""The limit of a connection attempt to one address."""
RESOLVE_S = 3.0
MAX_ADDRESSES = 8
"""Addresses that are tried in one attempt to connect."""
SHORTEST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 4.0
MAX_REPEATS = 3
"""A transaction that the server has aborted because of another transaction is repeated."""

# PostgreSQL, appendix A.
_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED = "40001", "40P01"
_UNDEFINED_TABLE = "42P01"
# The server ends the connection. Only newer releases of psycopg report these.
_SHUTDOWNS = frozenset({"57P01", "57P02", "57P03", "57P05"})
_HINTS = {
    "3F000": "run monitorctl cluster init",
    _UNDEFINED_TABLE: "run monitorctl cluster init",
    "42703": "run monitorctl cluster init",
    "42501": "run monitorctl cluster init as the owner of the database, or make this user its owner",
    "25006": "name all hosts of the database in `host`, with target_session_attrs=read-write",
    "57014": "the database is overloaded, or a lock is held; see pg_stat_activity",
}
_CONNECTION_HINT = (
    "check host and port in the connection string (`database` in [cluster]), and that the server runs"
)
_ACCESS_HINT = (
    "check user, password and dbname in the connection string (`database` in [cluster]), the password file, "
    "and pg_hba.conf of the server"
)
_TLS_HINT = (
    "check sslmode and sslrootcert in the connection string (`database` in [cluster]), "
    "and ssl and ssl_cert_file in postgresql.conf of the server"
)
_ATTEMPT = re.compile(r"connection (?:failed|is bad): (?:connection to server (?:at|on) .*? failed: )?")
"""The beginning of the messages of psycopg 3.1 and 3.2 about a connection attempt."""
_LOST = re.compile(r"consuming input failed: |sending query failed: |flushing failed: ")
_ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
UNVERIFIED = (
    "the certificate of the database at {} is not verified, so another host could pose as the database"
)
VERIFY_HINT = "write sslmode=verify-full and sslrootcert in `database` of [cluster]"

_DEFAULTS = {
    "application_name": "monitord",
    "client_encoding": "UTF8",
    # The library of Kerberos would wait for its server in the event loop.
    "gssencmode": "disable",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "10000",
}
_SETTINGS = (
    "SET search_path TO monitord;"
    "SET TIME ZONE 'UTC';"
    "SET datestyle TO 'ISO';"
    f"SET statement_timeout TO {STATEMENT_S * 1000};"
    f"SET idle_in_transaction_session_timeout TO {STATEMENT_S * 1000}"
)
"""Set after the connection attempt and not in `options`, which PgBouncer rejects."""

Connection = AsyncConnection[tuple[Any, ...]]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Host:
    """One of the hosts of a connection string. `name` "": the default socket. `address` "": not resolved."""

    name: str
    address: str
    port: str

    def __str__(self) -> str:
        name = self.name or self.address or "the default socket"
        return f"{name}, port {self.port}" if self.port else name

    @property
    def is_local(self) -> bool:
        """Whether the connection does not leave this host: a Unix socket, or a loopback address."""
        if not self.address and (not self.name or self.name.startswith(("/", "@"))):
            return True
        return is_loopback(self.address or self.name)


class ConnectionString:
    """The hosts and parameters of a connection string or URI of libpq. Its representation contains no password.

    Raises ClusterError if it is invalid, or if it permits a connection to another host without TLS.
    """

    def __init__(self, conninfo: str, environ: Mapping[str, str] = os.environ) -> None:
        try:
            given = {
                key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value is not None
            }
        except psycopg.Error:
            # The message of libpq quotes the text, which may be a password.
            raise ClusterError(
                "the connection string of the database is invalid",
                hint='write `database` in [cluster] as "host=db1 dbname=monitord", as in the manual of libpq',
            ) from None
        if "service" in given:
            raise ClusterError(
                "the connection string of the database names a service",
                hint="write host, dbname and user in `database` of [cluster] instead of service",
            )
        self.hosts = tuple(_hosts(given, environ))
        mode = given.get("sslmode") or environ.get("PGSSLMODE")
        remote = [host.name or host.address for host in self.hosts if not host.is_local]
        if remote and mode is not None and mode not in _ENCRYPTED:
            raise ClusterError(
                f"sslmode={mode} permits a connection to {remote[0]} without TLS",
                hint="write sslmode=verify-full with sslrootcert, or sslmode=require",
            )
        self._encrypted_mode = mode or "require"
        # With an authority, `require` verifies the certificate as `verify-ca` does.
        is_verified = (
            self._encrypted_mode != "require" or given.get("sslrootcert") or environ.get("PGSSLROOTCERT")
        )
        self.unverified_host = remote[0] if remote and not is_verified else None
        """Another host whose certificate is not verified; None if there is none."""
        self._parameters = {**_DEFAULTS, **given}
        for key in ("host", "hostaddr", "port"):
            self._parameters.pop(key, None)

    def conninfo(self, host: Host, address: str) -> str:
        """Return the connection string for one address; "" for a Unix socket."""
        own = {"host": host.name, "hostaddr": address, "port": host.port}
        if not host.is_local:
            own["sslmode"] = self._encrypted_mode
        return make_conninfo(**{**self._parameters, **{key: value for key, value in own.items() if value}})


def _hosts(given: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Host]:
    names = (given.get("host") or environ.get("PGHOST", "")).split(",")
    addresses = (given.get("hostaddr") or environ.get("PGHOSTADDR", "")).split(",")
    ports = (given.get("port") or environ.get("PGPORT", "")).split(",")
    count = max(len(names), len(addresses))
    if len(ports) == 1:
        ports *= count
    if len(ports) != count or (addresses != [""] and names != [""] and len(names) != len(addresses)):
        raise ClusterError(
            "the connection string of the database has different numbers of hosts and ports",
            hint="write one port for each host, or one port for all hosts",
        )
    for name, address, port in zip_longest(names, addresses, ports, fillvalue=""):
        yield Host(name.strip(), address.strip(), port.strip())


class Session:
    """A connection that is made when it is needed. Its operations run one after the other.

    `prepare` runs after each connection attempt that succeeded, and rejects a database that cannot be used by
    raising ClusterError. After a failed attempt, operations fail immediately until the next attempt is due.
    """

    def __init__(
        self,
        connection_string: ConnectionString,
        clock: Clock,
        resolver: Resolver,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._connection_string = connection_string
        self._clock = clock
        self._resolver = resolver
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._failure: ClusterError | None = None
        self._backoff_s = SHORTEST_BACKOFF_S
        self._retry_at_s = 0.0
        self.connected = 0
        """The number of connections that were made."""

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def run(
        self, operation: Callable[[Connection], Awaitable[Value]], limit_s: float | None = OPERATION_S
    ) -> Value:
        """Return the result of an operation. The complete operation may run more than once. Raises ClusterError.

        `limit_s` None: the operation waits for messages, without a limit.
        """
        async with self._lock:
            connection = await self._connect()
            try:
                return await self._limited(connection, operation, limit_s)
            except psycopg.Error as error:
                # Every other error may come from a server that is no longer the primary, or is shutting down.
                await self._drop()
                raise _explained(error) from None
            except BaseException:
                await self._drop()
                raise

    async def close(self) -> None:
        """Close the connection, after the operation that runs now."""
        async with self._lock:
            await self._drop()

    async def _limited(
        self,
        connection: Connection,
        operation: Callable[[Connection], Awaitable[Value]],
        limit_s: float | None,
    ) -> Value:
        if limit_s is None:
            return await operation(connection)
        # The operation is not cancelled at the limit: psycopg would first ask the server, which does not respond,
        # to cancel the statement. Without its socket it ends at once.
        guard = asyncio.get_running_loop().call_later(limit_s, _shut_down, connection)
        try:
            for _ in range(MAX_REPEATS):
                try:
                    return await operation(connection)
                except psycopg.OperationalError as error:
                    if error.sqlstate not in {_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED}:
                        raise
            return await operation(connection)
        finally:
            guard.cancel()

    async def _connect(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._failure is not None and self._clock.monotonic_s() < self._retry_at_s:
            raise self._failure.with_traceback(None)
        try:
            self._connection = await self._first_connection()
        except ClusterError as error:
            self._failure = error
            self._retry_at_s = self._clock.monotonic_s() + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)
            raise
        self._failure, self._backoff_s = None, SHORTEST_BACKOFF_S
        self.connected += 1
        return self._connection

    async def _first_connection(self) -> Connection:
        failures: list[ClusterError] = []
        tried = 0
        for host in self._connection_string.hosts:
            try:
                addresses = await self._addresses(host)
            except ClusterError as error:
                failures.append(error)
                continue
            for address in addresses[: MAX_ADDRESSES - tried]:
                tried += 1
                try:
                    return await self._connection_to(host, address)
                except ClusterError as error:
                    failures.append(error)
        raise _combined(failures)

    async def _addresses(self, host: Host) -> tuple[str, ...]:
        if host.address or not host.name or host.name.startswith(("/", "@")):
            return (host.address,)
        if literal_address(host.name) is not None:
            return (host.name,)
        try:
            async with asyncio.timeout(RESOLVE_S):
                return await self._resolver.resolve(host.name)
        except ResolveError as error:
            raise ClusterError(f"{host.name}: {error.problem}", hint=_CONNECTION_HINT) from None
        except TimeoutError:
            raise ClusterError(f"{host.name} cannot be resolved in time", hint=_CONNECTION_HINT) from None

    async def _connection_to(self, host: Host, address: str) -> Connection:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await AsyncConnection.connect(
                    self._connection_string.conninfo(host, address),
                    autocommit=True,
                    # Plans for arrays of any length are not worth keeping, and PgBouncer would lose the statements.
                    prepare_threshold=None,
                )
                await connection.execute(_SETTINGS)
                if self._prepare is not None:
                    await self._prepare(connection)
        except psycopg.Error as error:
            await _close(connection)
            raise (_explained(error) if connection else _failed_attempt(str(error), host)) from None
        except TimeoutError:
            await _close(connection)
            raise ClusterError(f"no response from the database at {host}", hint=_CONNECTION_HINT) from None
        except BaseException:
            await _close(connection)
            raise
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        await _close(connection)


async def _close(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(psycopg.Error):
            await connection.close()


def _shut_down(connection: Connection) -> None:
    """Shut down the socket under the connection, so that the operation on it fails."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _combined(failures: Sequence[ClusterError]) -> ClusterError:
    """Return one error for those of all hosts: the host that is the primary may not be the first."""
    excluded = next((failure for failure in failures if isinstance(failure, NotMemberError)), None)
    if excluded is not None:
        return excluded  # from a server that responds, so the other hosts do not matter
    messages = list(dict.fromkeys(failure.message for failure in failures))
    # A host that has responded is more likely to be the primary than a host that has not.
    hints = sorted((failure.hint for failure in failures), key=lambda hint: hint == _CONNECTION_HINT)
    return ClusterError("; ".join(messages), hint=hints[0])


def _failed_attempt(message: str, host: Host) -> ClusterError:
    """Return the error of a connection attempt. `message`: that of libpq, which has no SQLSTATE while it connects."""
    text = _first_line(_ATTEMPT.sub("", message, count=1))
    is_of_server = text.startswith("FATAL:")
    if "SSL" in text or "certificate" in text:
        hint = _TLS_HINT
    else:
        hint = _ACCESS_HINT if is_of_server or "password" in text else _CONNECTION_HINT
    if is_of_server:
        return ClusterError(
            f"the database at {host} reports: {text.removeprefix('FATAL:').lstrip()}", hint=hint
        )
    return ClusterError(f"no connection to the database at {host}: {text}", hint=hint)


def _explained(error: psycopg.Error) -> ClusterError:
    state, message = error.sqlstate, error.diag.message_primary or str(error) or type(error).__name__
    if state == _UNDEFINED_TABLE:
        problem = "the database does not contain the tables of monitord"
    elif state is None or state in _SHUTDOWNS:
        problem = f"the connection to the database was lost: {_first_line(_LOST.sub('', message, count=1))}"
    else:
        problem = f"the database reports: {_first_line(message)}"
    return ClusterError(problem, hint=_HINTS.get(state or "", _CONNECTION_HINT))


def _first_line(message: str) -> str:
    """Return the first line of a message. Advice follows in the others, such as whether the server runs."""
    return shortened(plain(message.partition("\n")[0]), 300)
