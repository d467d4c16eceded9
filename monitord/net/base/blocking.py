"""Calls that can block forever, such as statvfs(3) of an NFS mount whose server does not respond.

Each call has its own thread. There is one call for each key, so that a file system that hangs holds a single thread:
a further caller waits for the running call, and makes its own when it has ended.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

MAX_CALLS = 32
"""Limit of concurrent calls, including calls that hang."""


class CallTimeoutError(Exception):
    """The call has not returned in time. It continues in its thread."""


class TooManyCallsError(Exception):
    """MAX_CALLS are running, or no thread can be started."""


class BlockingCalls:
    """To be used on the event loop only."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._max_calls = max_calls
        self._running: dict[str, asyncio.Future[Any]] = {}

    async def run(self, key: str, call: Callable[[], T], *, timeout_s: float) -> T:
        """Return the result of the call, or raise its exception. Raises CallTimeoutError, TooManyCallsError."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while (running := self._running.get(key)) is not None and not running.done():
            if running.get_loop() is not loop:  # of an earlier loop, which no longer runs
                break
            if not await _wait(running, deadline_s - loop.time()):
                raise CallTimeoutError
        self._running = {name: future for name, future in self._running.items() if not future.done()}
        if len(self._running) >= self._max_calls:
            raise TooManyCallsError
        future: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(
            target=_serve, args=(loop, future, call), name=f"blocking {key}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # pthread_create(3): EAGAIN, such as by TasksMax=
            raise TooManyCallsError from None
        self._running[key] = future
        if not await _wait(future, deadline_s - loop.time()):
            raise CallTimeoutError
        return future.result()


async def _wait(future: "asyncio.Future[Any]", timeout_s: float) -> bool:
    """Wait without cancelling the call. Returns whether it has ended."""
    done, _ = await asyncio.wait([future], timeout=max(timeout_s, 0.0))
    return bool(done)


def _serve(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]", call: Callable[[], T]) -> None:
    result: T | None = None
    failure: Exception | None = None
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - raised again in the caller
        failure = error

    def finish() -> None:
        if future.cancelled():
            return
        if failure is None:
            future.set_result(result)  # type: ignore[arg-type] # the call has returned it
        else:
            future.set_exception(failure)
            future.exception()  # marks it as retrieved: the caller may have been cancelled

    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(finish)
