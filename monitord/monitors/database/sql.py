"""The common parts of the monitor types of SQL servers: user, database and query, and the client in another process."""

from typing import ClassVar

from monitord.conditions import COUNT, Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.monitors.base import PROCESSES, MonitorSettings, Tools
from monitord.monitors.database.common import BOUNDS, FIELDS, DatabaseMonitor, DatabaseOptions, read_target
from monitord.net.database.outcome import DatabaseOutcome
from monitord.net.database.sql import SqlClient, SqlRequest, SqlServer

MAX_QUERY_CHARACTERS = 10_000

SQL_FIELDS = {
    **FIELDS,
    "rows": FieldType.NUMBER,
    "read_only": FieldType.FLAG,
    "replication.running": FieldType.FLAG,
    "replication.lag": FieldType.DURATION,
}
SQL_BOUNDS = {**BOUNDS, "rows": COUNT, "replication.lag": Bounds(least=0)}


class SqlMonitor(DatabaseMonitor):
    """Base class of the types, which differ only in the server."""

    server: ClassVar[SqlServer]
    command_key: ClassVar[str] = "query"
    command_fields: ClassVar[tuple[str, ...]] = ("value", "rows")
    vocabulary: ClassVar[Vocabulary] = Vocabulary(SQL_FIELDS, SQL_BOUNDS)

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._client = SqlClient(tools.resolver, tools.tls_contexts, tools.processes)

    @property
    def pool(self) -> str | None:
        return PROCESSES

    async def query(self, deadline: float) -> DatabaseOutcome:
        options = self.options
        query = options.command[0] if options.command else ""
        request = SqlRequest(self.server, options.user, options.password_text, options.database, query)
        return await self._client.query(options.target, request, deadline=deadline)


def read_sql_options(table: Table, *, default_port: int, default_database: str) -> DatabaseOptions:
    query = table.text("query", default="")
    if len(query) > MAX_QUERY_CHARACTERS:
        table.error(
            "query", f"has more than {MAX_QUERY_CHARACTERS} characters", "write a shorter query, or a view"
        )
    return DatabaseOptions(
        read_target(table, default_port=default_port),
        user=table.text("username"),
        password=table.secret("password", default=None),
        database=table.text("database", default=default_database),
        command=(query,) if query else (),
    )
