"""Monitors of databases, made from the text of their keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Result
from monitord.monitors import Monitor
from tests.configurations import options_of
from tests.database_servers import PASSWORD
from tests.fakes import monitor_settings, resolver_without_queue
from tests.worlds import real_tools

Make = Callable[..., Monitor[Any]]


@asynccontextmanager
async def making(
    monitor_type: type[Monitor[Any]], tmp_path: Path, *, default_username: str | None
) -> AsyncIterator[Make]:
    """Return a function that makes a monitor. `default_username` None: only a password is sent."""
    async with real_tools(resolver_without_queue(lambda name, family: ["127.0.0.1"])) as tools:

        def make(
            keys: str,
            *,
            username: str | None = default_username,
            password: str = PASSWORD,
            timeout_s: float = 60.0,
            up_when: str | None = None,
        ) -> Monitor[Any]:
            user = "" if username is None else f'username = "{username}"\n'
            options = options_of(monitor_type, tmp_path, f'{user}password = "{password}"\n{keys}')
            settings = monitor_settings(
                type_name=monitor_type.type_name, timeout_s=timeout_s, options=options
            )
            if up_when is not None:
                settings = replace(settings, up_when=(parse_condition(up_when, monitor_type.vocabulary),))
            return monitor_type(settings, tools)

        yield make


async def judged(monitor: Monitor[Any]) -> Result:
    return judge(await monitor.check(), monitor.settings, None)
