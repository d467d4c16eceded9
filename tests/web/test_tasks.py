"""The same behaviour with eager tasks (Python 3.12) and with a spare task (3.11)."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any, cast
from weakref import WeakKeyDictionary

import pytest

from monitord.web.tasks import TaskStarter

VALUE: ContextVar[str] = ContextVar("VALUE", default="unset")
Seen = list[Any]


@pytest.fixture
async def starter() -> AsyncIterator[TaskStarter]:
    starter = TaskStarter(asyncio.get_running_loop())
    yield starter
    await starter.close()


async def look(seen: Seen) -> None:
    seen.append(asyncio.current_task())


async def look_up_twice(seen: Seen) -> None:
    await look(seen)
    await asyncio.sleep(0)
    await look(seen)


async def test_coroutine_that_never_waits_ends_at_once(starter: TaskStarter) -> None:
    seen: Seen = []
    assert await started(starter, look(seen)) is None
    assert isinstance(seen[0], asyncio.Task)


async def test_coroutine_continues_in_its_first_task(starter: TaskStarter) -> None:
    seen: Seen = []
    tasks = await at_the_loop(lambda: [starter.start(look_up_twice(seen)) for _ in range(3)])
    assert None not in tasks
    await asyncio.gather(*tasks)
    assert seen == [*tasks, *tasks]
    assert len(set(tasks)) == 3


async def test_coroutine_started_in_a_task_gets_its_own_task(starter: TaskStarter) -> None:
    mine, seen = asyncio.current_task(), list[Any]()
    task = starter.start(look(seen))
    assert asyncio.current_task() is mine
    if task is not None:
        await task
    assert seen[0] is not mine


async def test_timeout_entered_before_the_first_wait_applies(starter: TaskStarter) -> None:
    seen: Seen = []

    async def impatient() -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            seen.append("too late")

    await end_of(starter, impatient())
    assert seen == ["too late"]


async def test_task_group_entered_before_the_first_wait_applies(starter: TaskStarter) -> None:
    seen: Seen = []

    async def fail() -> None:
        raise LookupError("a child")

    async def group() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.get_running_loop().create_future()
        except* LookupError:
            seen.append("ended")

    await end_of(starter, group())
    assert seen == ["ended"]


async def test_context_variables_belong_to_the_coroutine(starter: TaskStarter) -> None:
    seen: Seen = []

    async def change(name: str, *, waits: bool) -> None:
        seen.append(VALUE.get())
        VALUE.set(name)
        if waits:
            await asyncio.sleep(0)
        seen.append(VALUE.get())

    await end_of(starter, change("first", waits=False))
    await end_of(starter, change("second", waits=True))
    await end_of(starter, change("third", waits=True))
    assert seen == ["unset", "first", "unset", "second", "unset", "third"]
    assert VALUE.get() == "unset"


@pytest.mark.parametrize("turns", range(4), ids=lambda turns: f"after {turns} turns")
async def test_cancel_cancels_the_awaited_future(starter: TaskStarter, turns: int) -> None:
    waited_for = asyncio.get_running_loop().create_future()
    seen: Seen = []

    async def wait() -> None:
        try:
            await waited_for
        finally:
            seen.append(asyncio.current_task())

    task = await cancelled_after(turns, lambda: starter.start(wait()))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waited_for.cancelled()
    assert seen == [task]


@pytest.mark.parametrize("turns", range(3), ids=lambda turns: f"after {turns} turns")
async def test_cancel_applies_to_a_bare_yield(starter: TaskStarter, turns: int) -> None:
    async def yielding() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    task = await cancelled_after(turns, lambda: starter.start(yielding()))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_coroutine_can_suppress_cancellation(starter: TaskStarter) -> None:
    seen: Seen = []

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        seen.append("goes on")

    task = await cancelled_after(0, lambda: starter.start(stubborn()))
    await task
    assert seen == ["goes on"]


async def test_self_cancellation_applies_at_the_next_wait(starter: TaskStarter) -> None:
    seen: Seen = []

    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append(task.cancelling())
            raise

    task = await started(starter, cancel_itself())
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [1]


async def test_self_cancellation_before_the_end_has_no_effect(starter: TaskStarter) -> None:
    seen: Seen = []

    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def ask() -> None:
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())
        await asyncio.sleep(0)
        seen.append("lives")

    await end_of(starter, cancel_itself(), since=False)
    await end_of(starter, ask())
    assert seen == [0, "lives"]


async def test_done_callbacks_of_the_task_are_called(starter: TaskStarter) -> None:
    seen: Seen = []

    async def tie() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: seen.append("ended"))

    await started(starter, tie())
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == ["ended"]


async def test_next_coroutine_has_another_task(starter: TaskStarter) -> None:
    kept: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
    seen: Seen = []

    async def keep(name: str) -> None:
        seen.append(kept.get(asyncio.current_task()))
        kept[asyncio.current_task()] = name

    await end_of(starter, keep("first"))
    await end_of(starter, keep("second"))
    assert seen == [None, None]


async def test_error_is_reported_as_of_any_task(starter: TaskStarter) -> None:
    errors: Seen = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    async def fail() -> None:
        raise LookupError("at once")

    await end_of(starter, fail(), since=False)
    gc.collect()
    assert [str(error) for error in errors] == ["at once"]


async def test_cancelled_spare_task_does_not_affect_later_coroutines(starter: TaskStarter) -> None:
    seen: Seen = []
    await started(starter, look(seen))
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    await end_of(starter, look_up_twice(seen))
    assert len(seen) == 3


async def test_close_leaves_no_task() -> None:
    starter = TaskStarter(asyncio.get_running_loop())
    before = asyncio.all_tasks()
    await started(starter, look([]))
    await starter.close()
    assert asyncio.all_tasks() == before


async def end_of(starter: TaskStarter, coroutine: Any, *, since: bool = True) -> None:
    task = await started(starter, coroutine)
    if task is not None and since:
        await task
    del task
    for _ in range(3):
        await asyncio.sleep(0)


async def started(starter: TaskStarter, coroutine: Any) -> "asyncio.Task[None] | None":
    return cast("asyncio.Task[None] | None", await at_the_loop(lambda: starter.start(coroutine)))


async def cancelled_after(turns: int, call: Callable[[], Any]) -> "asyncio.Task[None]":
    """0: before the first iteration of the loop."""

    def call_and_cancel() -> Any:
        task = call()
        if not turns:
            task.cancel()
        return task

    task: asyncio.Task[None] = await at_the_loop(call_and_cancel)
    if turns:
        for _ in range(turns - 1):
            await asyncio.sleep(0)
        task.cancel()
    return task


async def at_the_loop(call: Callable[[], Any]) -> Any:
    """Called by the loop outside of any task, like a protocol."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: done.set_result(call()))
    return await done
