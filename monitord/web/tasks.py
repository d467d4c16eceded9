"""Starting what serves requests: its first steps at once, and a task of its own only when it has to wait.

Most handlers never wait, and a task with its turn of the event loop costs more than all that is done for them. From
Python 3.12 on a task can be started eagerly. Before that a spare task lends its name: it is the current one
while the coroutine takes its first steps (asyncio documents the calls for that under "Extending"). If the
coroutine then waits, the spare goes on with it to its end, so that a timeout or a task group begun in the first
steps holds the right task; if it has ended, the spare stands by for the next.
"""

import asyncio
import sys
from asyncio import _enter_task, _leave_task  # documented for libraries, in spite of their names
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any
from weakref import getweakrefcount

Steps = Coroutine[Any, Any, None]

_ENDED = object()


class Starter:
    """Starts coroutines on one event loop, each in its own copy of the context in which this was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = copy_context()
        self._spare: _Spare | None = None

    if sys.version_info >= (3, 12):

        def start(self, coroutine: Steps) -> "asyncio.Task[None] | None":
            """Run until it first waits. The task that does the rest, or None when nothing is left."""
            context = self._context.copy()
            task = asyncio.Task(coroutine, loop=self._loop, name="request", context=context, eager_start=True)
            return None if task.done() else task

    else:

        def start(self, coroutine: Steps) -> "asyncio.Task[None] | None":
            """Run until it first waits. The task that does the rest, or None when nothing is left."""
            context, loop, spare = self._context.copy(), self._loop, self._spare
            if spare is None or spare.is_touched:
                spare = self._spare = _Spare(loop)
            try:
                _enter_task(loop, spare)
            except RuntimeError:  # there is a current task, as the caller is not the event loop
                return asyncio.Task(coroutine, loop=loop, name="request", context=context)
            self._spare = None
            try:
                waited_for = context.run(next, coroutine.__await__(), _ENDED)  # StopIteration costs more
            except BaseException as error:  # noqa: BLE001 - it goes where the error of any task goes
                coroutine, waited_for = _end(error), None
            finally:
                _leave_task(loop, spare)
            if waited_for is _ENDED:
                if not spare.is_touched and getweakrefcount(spare) == 1:  # that of asyncio.all_tasks
                    self._spare = spare
                    return None
                coroutine, waited_for = _end(None), None
            spare.rest.take(coroutine, waited_for, context)
            return spare

    async def close(self) -> None:
        if self._spare is not None:
            self._spare.cancel()
            await asyncio.wait((self._spare,))


class _Spare(asyncio.Task[None]):
    """The task of the next coroutine that has to wait. Touched: cancelled, or its end is of concern to somebody."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.rest = _Rest(loop)
        self.is_touched = False
        super().__init__(self.rest, loop=loop, name="request")

    def cancel(self, *args: Any, **options: Any) -> bool:
        self.is_touched = True
        return super().cancel(*args, **options)

    def add_done_callback(self, *args: Any, **options: Any) -> None:
        self.is_touched = True
        super().add_done_callback(*args, **options)


class _Rest(Steps):
    """What a spare task runs: nothing, until it is given a coroutine that waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._given = loop.create_future()
        self._yields: list[Any] = [self._given.__await__().send(None)]
        self._coroutine: Steps | None = None
        self._context = copy_context()

    def take(self, coroutine: Steps, waited_for: Any, context: Context) -> None:
        """`waited_for` is what `coroutine` has yielded, and `context` the one in which it runs."""
        self._coroutine = coroutine
        self._yields = [waited_for]
        self._context = context
        if not self._given.done():
            self._given.set_result(None)

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
                return waited_for  # as in any task: what it waits for is cancelled first
        return self._context.run(self._coroutine.throw, *error)

    def close(self) -> None:
        """Nothing is open here that its coroutine does not close."""

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("only a task runs this")


async def _end(error: BaseException | None) -> None:
    if error is not None:
        raise error


def wake(waiter: "asyncio.Future[None] | None") -> None:
    """Let whoever waits, if anybody does, go on; may be called twice."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
