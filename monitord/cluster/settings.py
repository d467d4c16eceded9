"""The section [cluster]: the database that the nodes share or the hubs of an agent, and the place of this host."""

import socket
from dataclasses import dataclass, field

from monitord.config import Secret, Table, check_location
from monitord.errors import ClusterError, InvalidValueError
from monitord.net import TlsOptions, parse_target
from monitord.net.base.addressing import is_loopback
from monitord.net.base.libraries import import_problem
from monitord.options.tls import check_files

DEFAULT_ALONE_AFTER_S = 60.0
SHORTEST_ALONE_AFTER_S = 10.0
MAX_HUBS = 10


@dataclass(frozen=True, slots=True)
class HubSettings:
    """`urls`: the nodes to which an agent reports, in order. `token`: an API token of these nodes."""

    urls: tuple[str, ...]
    token: Secret
    tls: TlsOptions = field(default_factory=TlsOptions)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """`database`: a connection string or URI of libpq. `location`: where this node is. `node`: its unique name.

    `alone_after_s`: when the database has been unavailable for this time, the node decides and notifies alone.
    `hub`: this node is an agent, which reports to hubs and has no database; None: it uses the database.
    """

    database: Secret
    location: str
    node: str
    alone_after_s: float = DEFAULT_ALONE_AFTER_S
    hub: HubSettings | None = None


def read_cluster(table: Table) -> ClusterSettings:
    """Read the table [cluster]."""
    host_name = socket.gethostname()
    # All keys are read in any case, so that an unknown key is reported together with the missing library.
    hub = _hub(table)
    settings = ClusterSettings(
        database=Secret("") if hub is not None and "database" not in table else table.secret("database"),
        location=table.text_or_source("location", check_location, default="", required=True),
        node=table.text_or_source("node", check_location, default=host_name),
        alone_after_s=table.duration(
            "alone_after", default=DEFAULT_ALONE_AFTER_S, minimum=SHORTEST_ALONE_AFTER_S
        ),
        hub=hub,
    )
    if table.raw("node") is None:
        try:
            check_location(host_name)
        except InvalidValueError:
            table.error(
                "node", f"is missing, and the host name {host_name!r} cannot be used", 'write node = "mon1"'
            )
    if hub is not None:
        if "database" in table:
            table.error(
                "database",
                "cannot be combined with hub",
                "remove it: an agent reports to nodes with a database",
            )
        return settings
    if table.raw("database") == "":
        table.error("database", "is empty", 'write a connection string, such as "host=db1 dbname=monitord"')
    if problem := library_problem():
        table.error("", f"needs psycopg: {problem}", "install the package python3-psycopg")
    elif conninfo := settings.database.reveal():
        _check_connection_string(table, conninfo)
    return settings


def _check_connection_string(table: Table, conninfo: str) -> None:
    from monitord.cluster.database.connection import ConnectionString  # noqa: PLC0415 - psycopg may be missing

    try:
        ConnectionString(conninfo, {})
    except ClusterError as error:
        table.error("database", error.message, error.hint)


def _hub(table: Table) -> HubSettings | None:
    """Read the keys of an agent; None without `hub`."""
    if table.raw("hub") is None:
        for key in ("token", "ca_file"):
            if table.raw(key) is not None:
                table.error(key, "has no effect without hub", 'write hub = ["https://…"], or remove it')
        return None
    urls = table.one_or_more("hub", _hub_url, default=())
    if table.raw("hub") == []:
        table.error("hub", "is empty", 'write the address of a node with `database`, such as "https://mon1"')
    if len(urls) > MAX_HUBS:
        table.error("hub", f"has more than {MAX_HUBS} addresses", "remove some")
    tls = TlsOptions(ca_file=table.value("ca_file", _absolute_path, default=None))
    if tls.ca_file is not None:
        check_files(table, "ca_file", tls)
    return HubSettings(tuple(dict.fromkeys(urls)), table.secret("token"), tls)


def _hub_url(text: str) -> str:
    """Return the address of a hub. Raises InvalidValueError if it is none, or permits a connection without TLS."""
    target, userinfo = parse_target(text)
    if userinfo is not None:
        raise InvalidValueError("has a user or a password", "write the token of the hub in `token`")
    if target.query or target.path.strip("/"):
        raise InvalidValueError("has a path or a query", 'write only the address, such as "https://mon1"')
    if not target.is_tls and target.socket_path is None and not is_loopback(target.host):
        raise InvalidValueError(
            "is not encrypted", f"write https://{target.host_header}: http is permitted on this host only"
        )
    return text


def _absolute_path(text: str) -> str:
    if not text.startswith("/"):
        raise InvalidValueError("is not an absolute path", 'write ca_file = "/path/to/file.pem"')
    return text


def library_problem() -> str | None:
    """Return why the library for the database cannot be imported; None if it can."""
    return import_problem("psycopg")
