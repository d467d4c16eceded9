"""Bytes out through a descriptor that may be full or gone: nothing here ever waits for it, except `close`.

An item that cannot go out now is kept in order, within bounds of count and bytes, and tried again by a timer on
the event loop (a timer and not a writer callback, as it serves a full socket, a missing one and a stopped terminal
alike). What does not fit any more is dropped and counted; one item that says how many were lost takes its place
in the row when half of the room is free again. A quarter of the room is left to urgent items, so that a flood of
small talk does not cost the line that matters.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

MOST_ITEMS = 8192
MOST_BYTES = 8 * 1024 * 1024
FIRST_RETRY_AFTER_S = 0.01
LONGEST_RETRY_AFTER_S = 1.0  # the delay doubles while nothing moves
MOST_ITEMS_PER_RETRY = 512  # a few milliseconds of the event loop
CLOSE_GRACE_S = 1.0
_CLOSE_POLL_S = 0.01


class Transport(Protocol):
    """The way out. It belongs to the outlet, which closes it."""

    def write(self, item: bytes) -> bytes:
        """Write what goes at once and return what is left of the item, b"" if nothing.

        Raises BlockingIOError when a later try may succeed, and another OSError when this item never will.
        """
        ...

    def close(self) -> None: ...


class Outlet:
    """`put` may be called from any thread, before the loop runs and after it ended."""

    def __init__(
        self,
        transport: Transport,
        tell_lost: Callable[[int], bytes],
        *,
        most_items: int = MOST_ITEMS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._transport = transport
        self._tell_lost = tell_lost
        self._most_items = most_items
        self._most_bytes = most_bytes
        # Reentrant: a destructor or a signal handler may log in the middle of `put`, in the same thread.
        self._lock = threading.RLock()
        self._is_writing = False
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._lost_untold = 0
        self._lost_total = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_retry_due = False
        self._retry_after_s = FIRST_RETRY_AFTER_S
        self._is_closed = False

    @property
    def kept(self) -> int:
        """How many items wait to go out."""
        return len(self._kept)

    @property
    def lost_total(self) -> int:
        """How many items were dropped, ever."""
        return self._lost_total

    def put(self, item: bytes, *, is_urgent: bool = False) -> None:
        """Send the item now or keep it or, where there is no room, count it as lost. Never raises."""
        with self._lock:
            # A detached outlet has no timer: what it kept is tried before each new item.
            if self._loop is None:
                self._write_kept(MOST_ITEMS_PER_RETRY)
            if not self._kept and not self._lost_untold and not self._is_writing and not self._is_closed:
                item = self._write(item)
            if item:
                self._keep(item, is_urgent=is_urgent)
            if self._kept or self._lost_untold:
                self._retry_later()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on `loop` tries again what could not go out at once."""
        with self._lock:
            self._loop = loop
            if self._kept or self._lost_untold:
                self._retry_later()

    def detach(self) -> None:
        """Call it on the loop, before the loop ends."""
        with self._lock:
            self._loop = None
            self._is_retry_due = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Wait up to `grace_s` for what is kept. It blocks: call it when the loop has ended. Twice is fine."""
        self.detach()
        deadline = time.monotonic() + grace_s
        while not self._is_closed and not self._try_all() and time.monotonic() < deadline:
            time.sleep(_CLOSE_POLL_S)
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._transport.close()

    def _try_all(self) -> bool:
        with self._lock:
            self._write_kept(MOST_ITEMS)
            return not self._kept and not self._lost_untold

    def _write(self, item: bytes) -> bytes:
        """Return what is still to be written. An item that can never be written is counted as lost."""
        self._is_writing = True
        try:
            return self._transport.write(item)
        except BlockingIOError:
            return item
        except OSError:
            self._lose()
            return b""
        finally:
            self._is_writing = False

    def _keep(self, item: bytes, *, is_urgent: bool) -> None:
        share = 1.0 if is_urgent else 0.75
        has_place = len(self._kept) < self._most_items * share
        has_bytes = self._kept_bytes + len(item) <= self._most_bytes * share
        if has_place and has_bytes and not self._is_closed:
            self._kept.append(item)
            self._kept_bytes += len(item)
        else:
            self._lose()

    def _lose(self) -> None:
        self._lost_untold += 1
        self._lost_total += 1

    def _write_kept(self, most_items: int) -> None:
        if self._is_writing or self._is_closed:
            return
        for _ in range(most_items):
            self._keep_word_of_loss()
            if not self._kept:
                return
            item = self._kept[0]
            left = self._write(item)
            self._kept_bytes -= len(item) - len(left)
            if left:
                self._kept[0] = left
                return
            self._kept.popleft()

    def _keep_word_of_loss(self) -> None:
        is_half_free = len(self._kept) <= self._most_items / 2 and self._kept_bytes <= self._most_bytes / 2
        if self._lost_untold and is_half_free:
            word = self._tell_lost(self._lost_untold)
            self._kept.append(word)
            self._kept_bytes += len(word)
            self._lost_untold = 0

    def _retry_later(self) -> None:
        if self._loop is None or self._is_retry_due:
            return
        self._is_retry_due = True
        # The loop may have ended without a word to us: then the next `put` or `close` tries again.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._start_timer, self._loop)
            return
        self._is_retry_due = False
        self._loop = None

    def _start_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._loop is loop and self._is_retry_due:
                self._timer = loop.call_later(self._retry_after_s, self._retry)

    def _retry(self) -> None:
        with self._lock:
            self._timer = None
            self._is_retry_due = False
            if self._loop is None:
                return
            before = self._kept_bytes
            self._write_kept(MOST_ITEMS_PER_RETRY)
            moved = self._kept_bytes < before
            self._retry_after_s = (
                FIRST_RETRY_AFTER_S if moved else min(2 * self._retry_after_s, LONGEST_RETRY_AFTER_S)
            )
            if self._kept or self._lost_untold:
                self._retry_later()
            else:
                self._retry_after_s = FIRST_RETRY_AFTER_S
