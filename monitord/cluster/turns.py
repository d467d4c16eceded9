"""Loops over all monitors that let other tasks run in between, so that no check is delayed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

ITEMS_PER_TURN = 50
"""Other tasks run after this number of items, most of which take less than 0.1 ms each."""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Return the items, in order. Other tasks may change what they refer to in the meantime."""
    for number, item in enumerate(items, 1):
        yield item
        if number % ITEMS_PER_TURN == 0:
            await asyncio.sleep(0)
