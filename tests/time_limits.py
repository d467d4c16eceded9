"""Time limits of what never ends, such as a check of a peer that becomes silent."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_S = 0.3
LONGEST_S = 60.0


async def within_growing_limit(run: Callable[[float], Awaitable[T]], is_expected: Callable[[T], bool]) -> T:
    """Run with longer and longer limits until the result is as expected, and return the last result.

    On a busy machine a short limit expires before the peer has become silent.
    """
    limit_s = FIRST_S
    while not is_expected(result := await run(limit_s)) and limit_s < LONGEST_S:
        limit_s = min(limit_s * 5, LONGEST_S)
    return result
