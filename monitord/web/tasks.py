"""Running the coroutine of a request immediately, with a task only if it waits.

Most handlers never wait, and a task with its own event loop iteration costs more than the rest of the request. From
Python 3.12 on, a task can be started eagerly. Before that, a spare task is the current task while the coroutine
runs until it first waits (asyncio documents the calls for this under "Extending"). If the coroutine waits, the spare
task runs the rest of it, so that a timeout or a task group that was entered before refers to the right task. If the
coroutine ends without waiting, the spare task is used for the next coroutine.
"""

import asyncio
import sys
from asyncio import _enter_task, _leave_task  # documented for libraries
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any
from weakref import getweakrefcount

RequestCoroutine = Coroutine[Any, Any, None]

_ENDED = object()


class TaskStarter:
    """Starts coroutines on one event loop, each in its own copy of the context in which this object was created."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = copy_context()
        self._spare: _SpareTask | None = None

    if sys.version_info >= (3, 12):

        def start(self, coroutine: RequestCoroutine) -> "asyncio.Task[None] | None":
            """Run until it first waits. Return the task that runs the rest, or None if it has ended."""
            context = self._context.copy()
            task = asyncio.Task(coroutine, loop=self._loop, name="request", context=context, eager_start=True)
            return None if task.done() else task

    else:

        def start(self, coroutine: RequestCoroutine) -> "asyncio.Task[None] | None":
            """Run until it first waits. Return the task that runs the rest, or None if it has ended."""
            context, loop, spare = self._context.copy(), self._loop, self._spare
            if spare is None or spare.is_touched:
                spare = self._spare = _SpareTask(loop)
            try:
                _enter_task(loop, spare)
            except RuntimeError:  # the caller is a task
                return asyncio.Task(coroutine, loop=loop, name="request", context=context)
            self._spare = None
            try:
                waited_for = context.run(next, coroutine.__await__(), _ENDED)  # faster than StopIteration
            except BaseException as error:  # noqa: BLE001 - reported as the error of a task
                coroutine, waited_for = _end(error), None
            finally:
                _leave_task(loop, spare)
            if waited_for is _ENDED:
                if not spare.is_touched and getweakrefcount(spare) == 1:  # the reference of asyncio.all_tasks
                    self._spare = spare
                    return None
                coroutine, waited_for = _end(None), None
            spare.continuation.take(coroutine, waited_for, context)
            return spare

    async def close(self) -> None:
        if self._spare is not None:
            self._spare.cancel()
            await asyncio.wait((self._spare,))


class _SpareTask(asyncio.Task[None]):
    """The task of the next coroutine that waits. It is touched if it was cancelled or has a callback for its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.continuation = _Continuation(loop)
        self.is_touched = False
        super().__init__(self.continuation, loop=loop, name="request")

    def cancel(self, *args: Any, **options: Any) -> bool:
        self.is_touched = True
        return super().cancel(*args, **options)

    def add_done_callback(self, *args: Any, **options: Any) -> None:
        self.is_touched = True
        super().add_done_callback(*args, **options)


class _Continuation(RequestCoroutine):
    """The coroutine of a spare task: waits for a coroutine and runs the rest of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._received = loop.create_future()
        self._yields: list[Any] = [self._received.__await__().send(None)]
        self._coroutine: RequestCoroutine | None = None
        self._context = copy_context()

    def take(self, coroutine: RequestCoroutine, waited_for: Any, context: Context) -> None:
        """Run the rest of `coroutine` in `context`. `waited_for` is the future that it has yielded."""
        self._coroutine = coroutine
        self._yields = [waited_for]
        self._context = context
        if not self._received.done():
            self._received.set_result(None)

    def send(self, value: Any) -> Any:
        if self._yields:
            return self._yields.pop()
        assert self._coroutine is not None  # noqa: S101
        return self._context.run(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        if self._coroutine is None:
            raise error[0]
        if self._yields:
            waited_for = self._yields.pop()
            if waited_for is not None and waited_for.cancel():
                return waited_for  # as in any task, the future that it waits for is cancelled first
        return self._context.run(self._coroutine.throw, *error)

    def close(self) -> None:
        """Nothing to close; the coroutine of the request closes itself."""

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("only a task can run this")


async def _end(error: BaseException | None) -> None:
    if error is not None:
        raise error


def wake(waiter: "asyncio.Future[None] | None") -> None:
    """Complete a future, unless it is None or done."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
