"""The section [cluster]: the database that the nodes share, and the place of this node among them."""

import socket
from dataclasses import dataclass

from monitord.config import Secret, Table, check_location
from monitord.net.base.libraries import import_problem

DEFAULT_ALONE_AFTER_S = 60.0
SHORTEST_ALONE_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """`database`: a connection string or URI of libpq. `location`: where this node is. `node`: its unique name.

    `alone_after_s`: when the database has been unavailable for this time, the node decides and notifies alone.
    """

    database: Secret
    location: str
    node: str
    alone_after_s: float = DEFAULT_ALONE_AFTER_S


def read_cluster(table: Table) -> ClusterSettings:
    """Read the table [cluster]."""
    # All keys are read in any case, so that an unknown key is reported together with the missing library.
    settings = ClusterSettings(
        database=table.secret("database"),
        location=table.text_or_source("location", check_location, default="", required=True),
        node=table.text_or_source("node", check_location, default=socket.gethostname()),
        alone_after_s=table.duration(
            "alone_after", default=DEFAULT_ALONE_AFTER_S, minimum=SHORTEST_ALONE_AFTER_S
        ),
    )
    found = table.look_up("database")
    if found is not None and found[1] == "":
        table.error("database", "is empty", 'write a connection string, such as "host=db1 dbname=monitord"')
    if problem := library_problem():
        table.error("", f"needs psycopg: {problem}", "install the package python3-psycopg")
    return settings


def library_problem() -> str | None:
    """Return why the library for the database cannot be imported; None if it can."""
    return import_problem("psycopg")
