"""Output through a descriptor that can be full or unavailable, without waiting for it, except in `close`.

Items that cannot be written are queued in order, bounded in number and bytes, and retried by a timer of the event loop.
(A timer works for a full socket, a missing socket and a stopped terminal; a writer callback does not.) Items that
exceed the bounds are discarded and counted; an item with their number is queued when half of the queue is free again. A
quarter of the queue is reserved for urgent items.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

MAX_ITEMS = 8192
MAX_BYTES = 8 * 1024 * 1024
FIRST_RETRY_AFTER_S = 0.01
MAX_RETRY_AFTER_S = 1.0  # the delay doubles while nothing can be written
MAX_ITEMS_PER_RETRY = 512  # a few milliseconds of the event loop
CLOSE_GRACE_S = 1.0
_CLOSE_POLL_S = 0.01


class Transport(Protocol):
    """The destination. It is owned by the queue, which closes it."""

    def write(self, item: bytes) -> bytes:
        """Write without waiting, and return the rest of the item.

        Raises BlockingIOError if a retry can succeed, another OSError if this item can never be written.
        """
        ...

    def close(self) -> None: ...


class OutputQueue:
    """A bounded queue of items. `put` can be called from any thread, before the loop runs and after it has ended."""

    def __init__(
        self,
        transport: Transport,
        describe_lost: Callable[[int], bytes],
        *,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._transport = transport
        self._describe_lost = describe_lost
        self._max_items = max_items
        self._max_bytes = max_bytes
        # Reentrant: a destructor or a signal handler can log during `put` in the same thread.
        self._lock = threading.RLock()
        self._is_writing = False
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._lost_unreported = 0
        self._lost_total = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_retry_due = False
        self._retry_after_s = FIRST_RETRY_AFTER_S
        self._is_closed = False

    @property
    def queued(self) -> int:
        """The number of queued items."""
        return len(self._queue)

    @property
    def lost_total(self) -> int:
        """The number of discarded items since the start."""
        return self._lost_total

    def put(self, item: bytes, *, is_urgent: bool = False) -> None:
        """Write the item, queue it, or count it as lost if the queue is full. Never raises."""
        with self._lock:
            # A detached queue has no timer: queued items are retried before each new item.
            if self._loop is None:
                self._write_queued(MAX_ITEMS_PER_RETRY)
            if not self._queue and not self._lost_unreported and not self._is_writing and not self._is_closed:
                item = self._write(item)
            if item:
                share = 1.0 if is_urgent else 0.75
                has_slot = len(self._queue) < self._max_items * share
                has_bytes = self._queued_bytes + len(item) <= self._max_bytes * share
                if has_slot and has_bytes and not self._is_closed:
                    self._queue.append(item)
                    self._queued_bytes += len(item)
                else:
                    self._count_loss()
            if self._queue or self._lost_unreported:
                self._retry_later()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Retry queued items in `loop`."""
        with self._lock:
            self._loop = loop
            if self._queue or self._lost_unreported:
                self._retry_later()

    def detach(self) -> None:
        """Stop the retries. Called in the loop before it ends."""
        with self._lock:
            self._loop = None
            self._is_retry_due = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def close(self, grace_s: float = CLOSE_GRACE_S) -> None:
        """Wait up to `grace_s` for queued items; blocks, so the loop must have ended. A second call has no effect."""
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
            self._write_queued(MAX_ITEMS)
            return not self._queue and not self._lost_unreported

    def _write(self, item: bytes) -> bytes:
        """Return the rest of the item. An item that can never be written is counted as lost."""
        self._is_writing = True
        try:
            return self._transport.write(item)
        except BlockingIOError:
            return item
        except OSError:
            self._count_loss()
            return b""
        finally:
            self._is_writing = False

    def _count_loss(self) -> None:
        self._lost_unreported += 1
        self._lost_total += 1

    def _write_queued(self, max_items: int) -> None:
        if self._is_writing or self._is_closed:
            return
        for _ in range(max_items):
            is_half_free = (
                len(self._queue) <= self._max_items / 2 and self._queued_bytes <= self._max_bytes / 2
            )
            if self._lost_unreported and is_half_free:
                report = self._describe_lost(self._lost_unreported)
                self._queue.append(report)
                self._queued_bytes += len(report)
                self._lost_unreported = 0
            if not self._queue:
                return
            item = self._queue[0]
            rest = self._write(item)
            self._queued_bytes -= len(item) - len(rest)
            if rest:
                self._queue[0] = rest
                return
            self._queue.popleft()

    def _retry_later(self) -> None:
        if self._loop is None or self._is_retry_due:
            return
        self._is_retry_due = True
        # If the loop has ended without `detach`, the next `put` or `close` retries.
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
            before = self._queued_bytes
            self._write_queued(MAX_ITEMS_PER_RETRY)
            has_written = self._queued_bytes < before
            self._retry_after_s = (
                FIRST_RETRY_AFTER_S if has_written else min(2 * self._retry_after_s, MAX_RETRY_AFTER_S)
            )
            if self._queue or self._lost_unreported:
                self._retry_later()
            else:
                self._retry_after_s = FIRST_RETRY_AFTER_S
