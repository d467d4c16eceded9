"""Starting a task for requests: at once where Python can (3.12), in the next turn of the loop before that."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

_EAGER: dict[str, Any] = (
    {"eager_start": True} if sys.version_info >= (3, 12) else {}
)  # unknown to the types of 3.11


def start(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> "asyncio.Task[None] | None":
    """As create_task does it, but without making up a name for each task. None: it has ended already."""
    task = asyncio.Task(coroutine, loop=loop, name="request", **_EAGER)
    return None if task.done() else task
