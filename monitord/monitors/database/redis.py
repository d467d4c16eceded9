"""Monitor type `redis`: Redis and compatible servers: version, replication, memory, and the value of a command.

    type = "redis"
    address = "cache.example.org"
    password = { credential = "cache" }
    command = ["LLEN", "jobs"]
    degraded_when = ["value > 1000"]

Without conditions, a check passes if the server responds to PING and the command, and a replica has its primary.
"""

from dataclasses import replace
from typing import ClassVar

from monitord.conditions import COUNT, Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.monitors.base import MonitorSettings, Tools
from monitord.monitors.database.common import (
    BOUNDS,
    FIELDS,
    PERCENT,
    DatabaseMonitor,
    DatabaseOptions,
    read_target,
)
from monitord.net.database.outcome import DatabaseOutcome, ServerError, ServerState
from monitord.net.database.redis import RedisRequest, query_redis
from monitord.net.stream.client import Stream, StreamClient
from monitord.options.address import check_unix_socket_keys
from monitord.options.source import check_source, read_source

PORT = 6379
MAX_DATABASE = 1_000_000
MAX_WORDS = 100


class RedisMonitor(DatabaseMonitor):
    type_name: ClassVar[str] = "redis"
    vocabulary: ClassVar[Vocabulary] = Vocabulary(
        {
            **FIELDS,
            "replication.running": FieldType.FLAG,
            "replication.last_contact": FieldType.DURATION,
            "replication.replicas": FieldType.NUMBER,
            "memory.used": FieldType.SIZE,
            "memory.max": FieldType.SIZE,
            "memory.used_percent": FieldType.NUMBER,
        },
        {
            **BOUNDS,
            "replication.last_contact": Bounds(least=0),
            "replication.replicas": COUNT,
            "memory.used": Bounds(least=0),
            "memory.max": Bounds(least=0),
            "memory.used_percent": PERCENT,
        },
    )

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._client = StreamClient(tools.resolver, tools.tls_contexts)

    @classmethod
    def read_options(cls, table: Table) -> DatabaseOptions:
        command = table.texts("command", default=())
        if len(command) > MAX_WORDS:
            table.error("command", f"has more than {MAX_WORDS} words", "remove words")
        user = table.text("username", default="")
        password = table.secret("password", default=None)
        if user and password is None:
            table.error("username", "set without password", 'write password = { credential = "…" }')
        target = read_target(table, default_port=PORT)
        target = replace(target, source=read_source(table, target.ip_family))
        if target.socket_path is not None:
            check_unix_socket_keys(table, "source_address")
        else:
            check_source(table, target.host, target.source)
        return DatabaseOptions(
            target,
            user=user,
            password=password,
            database=str(table.integer("database", default=0, minimum=0, maximum=MAX_DATABASE)),
            command=command,
        )

    async def query(self, deadline: float) -> DatabaseOutcome:
        options = self.options
        request = RedisRequest(options.user, options.password_text, int(options.database), options.command)
        replies: list[ServerState | ServerError] = []

        async def communicate(stream: Stream) -> None:
            try:
                replies.append(await query_redis(stream, request))
            except ServerError as error:
                replies.append(error)

        stream = await self._client.run(options.target, communicate, deadline=deadline)
        match replies:
            case [ServerState() as state]:
                return DatabaseOutcome(stream, state=state)
            case [ServerError() as error]:
                return DatabaseOutcome(stream, error=error)
            case _:
                return DatabaseOutcome(stream)
