"""Lets the event loop run while a thread works.

A thread that computes holds the interpreter's lock for 5 ms at a time (sys.getswitchinterval), and the event loop waits
for it in each of its iterations. A thread that pauses often lets it run at once.

The same holds for the garbage collector: while thousands of objects are created that remain, it would search all of
them repeatedly.
"""

import contextlib
import gc
import threading
import time
from collections.abc import Iterator

SLICE_S = 0.002
"""The longest work before a pause."""

PAUSE_S = 0.0005

COLLECT_AFTER = 2_000
"""New objects after which the youngest are collected during an update."""

_USUAL_THRESHOLDS = gc.get_threshold()


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Collect young objects less often than usual, and old objects not at all."""
    gc.set_threshold(COLLECT_AFTER, _USUAL_THRESHOLDS[1], 1_000_000)
    try:
        yield
    finally:
        # Not those of the beginning: a cancelled update can end after the next update has begun.
        gc.set_threshold(*_USUAL_THRESHOLDS)


class PacedWorkStoppedError(Exception):
    """The result of the thread is no longer needed."""


class Pacer:
    """Called by the thread between small pieces of work. `must_stop`: set when the result is no longer needed."""

    def __init__(self, must_stop: threading.Event, *, is_paced: bool = True) -> None:
        self._must_stop = must_stop
        self._is_paced = is_paced
        self._until_s = time.monotonic() + SLICE_S

    def pause(self) -> None:
        """Pause if it is time. Raises PacedWorkStoppedError if the result is no longer needed."""
        if self._is_paced and time.monotonic() > self._until_s:
            if self._must_stop.is_set():
                raise PacedWorkStoppedError
            time.sleep(PAUSE_S)
            self._until_s = time.monotonic() + SLICE_S
