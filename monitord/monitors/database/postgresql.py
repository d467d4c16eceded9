"""Monitor type `postgresql`: version, connections and replication of PostgreSQL, and the value of a query.

    type = "postgresql"
    address = "db.example.org"
    user = "monitor"
    password = { credential = "database" }
    query = "SELECT count(*) FROM orders WHERE NOT shipped"
    degraded_when = ["value > 1000"]

Without conditions, a check passes if the server responds to the query and, on a replica, the primary sends WAL.
"""

from typing import ClassVar

from monitord.conditions import COUNT, FieldType, Vocabulary
from monitord.config import Table
from monitord.monitors.database.common import DatabaseOptions
from monitord.monitors.database.sql import SQL_BOUNDS, SQL_FIELDS, SqlMonitor, read_sql_options
from monitord.net.database.sql import SqlServer
from monitord.net.stream.client import StreamTarget

PORT = 5432
DATABASE = "postgres"
"""A database that every server has, unless it was removed."""


class PostgresqlMonitor(SqlMonitor):
    type_name: ClassVar[str] = "postgresql"
    server: ClassVar[SqlServer] = SqlServer.POSTGRESQL
    vocabulary: ClassVar[Vocabulary] = Vocabulary(
        {**SQL_FIELDS, "replication.replicas": FieldType.NUMBER},
        {**SQL_BOUNDS, "replication.replicas": COUNT},
    )

    @classmethod
    def read_options(cls, table: Table) -> DatabaseOptions:
        if problem := cls.server.library_problem():
            table.ignore_others()
            table.error(
                "type", f'"postgresql" needs asyncpg: {problem}', "install the package python3-asyncpg"
            )
            return DatabaseOptions(StreamTarget("localhost", PORT))
        return read_sql_options(table, default_port=PORT, default_database=DATABASE)
