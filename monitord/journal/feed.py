"""Entries of the journal, received from a separate process that reads it (`monitord.journal.follower`).

The daemon does not read the journal itself: sd_journal_next() blocks, holds the GIL during floods of entries, and is
killed by SIGBUS when a journal file is truncated. `journalctl --follow` would need a process for each query, reports no
cursor while nothing matches, and in systemd 252 skips the first entry after a cursor.

One process serves all feeds, and runs while there is a feed. If it ends, it is restarted, and each feed continues from
the cursor of its last update.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 1 << 20
FIRST_RESTART_S = 0.1
LONGEST_RESTART_S = 60.0
END_WAIT_S = 1.0
MAX_CONSECUTIVE_CRASHES = 8
"""Consecutive ends by a signal after which the entry at the cursor is assumed to kill the process."""

SILENT_S = 30.0
"""Time without a response to a request after which the process is assumed to hang."""

_PACKAGES = Path(__file__).resolve().parents[2]


class JournalFailureKind(Enum):
    """Why the journal is not read. `BROKEN`: the process ends repeatedly; it is restarted."""

    FORBIDDEN = "forbidden"
    ABSENT = "absent"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class JournalFailure:
    kind: JournalFailureKind
    text: str


@dataclass(frozen=True, slots=True)
class JournalQuery:
    """A query. `matches`: fields, each with alternative values. `pattern`: a pattern of the condition language.

    `counts_inconclusive`: whether messages whose search took too long are counted. `excludes`: fields and beginnings of
    values of excluded entries. Entries are counted by slots of `slot_us`; the last `slots` are stored.
    """

    matches: tuple[tuple[str, tuple[str, ...]], ...]
    pattern: str | None
    counts_inconclusive: bool
    excludes: tuple[tuple[str, tuple[str, ...]], ...]
    slot_us: int
    slots: int


@dataclass(frozen=True, slots=True)
class JournalUpdate:
    """Matches since the previous update. `cursor`: the last entry that has been read.

    `counts`: entries by the number of their slot since 1970. `lines`: the last entries as text. `lost`: number of
    entries that were deleted before they were read; -1 if the number is not known.
    """

    cursor: str | None
    counts: tuple[tuple[int, int], ...]
    total: int
    last_us: int
    lines: tuple[str, ...]
    lost: int


def follower_command(directory: Path | None) -> tuple[str, ...]:
    """Return the command of the process. -P: no imports from the current directory."""
    where = () if directory is None else (str(directory),)
    return (sys.executable, "-P", "-s", "-m", "monitord.journal.follower", *where)


class JournalFeed:
    """The updates of one query. `on_update` is called on the event loop for each update."""

    def __init__(
        self,
        feeds: "JournalFeeds",
        number: int,
        query: JournalQuery,
        cursor: str | None,
        since_us: int,
        on_update: Callable[[JournalUpdate], None],
    ) -> None:
        self._feeds = feeds
        self.number = number
        self.query = query
        self.cursor = cursor
        self.since_us = since_us
        self.on_update = on_update
        self.ticket = 0
        self.waiting: asyncio.Future[None] | None = None
        self.has_gap = False  # the cursor was abandoned, so entries are missing

    async def sync(self, within_s: float) -> bool:
        """Wait until all entries of the journal have been received. Return False after `within_s`.

        There must be one call at a time.
        """
        self.ticket += 1
        self.waiting = asyncio.get_running_loop().create_future()
        self._feeds.send({"sync": self.number, "ticket": self.ticket})
        try:
            async with asyncio.timeout(within_s):
                await self.waiting
        except TimeoutError:
            self._feeds.kill_hanging_process()
            return False
        finally:
            self.waiting = None
        return self._feeds.failure is None

    @property
    def failure(self) -> JournalFailure | None:
        """The reason why no entries are received; None if they are, or if it is not known."""
        return self._feeds.failure

    async def close(self) -> None:
        """End the feed. Further calls have no effect."""
        await self._feeds.leave(self)


class JournalFeeds:
    """Owner of the process. `directory`: that of the journal files, if they are not those of this host."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        command: Sequence[str] | None = None,
        first_restart_s: float = FIRST_RESTART_S,
    ) -> None:
        self._first_restart_s = first_restart_s
        self._command = tuple(command or follower_command(directory))
        self._feeds: dict[int, JournalFeed] = {}
        self._numbers = 0
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._received_at = 0.0
        self._has_received = False
        self.failure: JournalFailure | None = None

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def follow(
        self,
        query: JournalQuery,
        on_update: Callable[[JournalUpdate], None],
        *,
        cursor: str | None = None,
        since_us: int = 0,
    ) -> JournalFeed:
        """Start a feed from the cursor; without one from the end of the journal, or `since_us` before now.

        Needs a running event loop.
        """
        self._numbers += 1
        feed = JournalFeed(self, self._numbers, query, cursor, since_us, on_update)
        self._feeds[feed.number] = feed
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self.send(_follow_request(feed))
        return feed

    async def leave(self, feed: JournalFeed) -> None:
        if self._feeds.pop(feed.number, None) is None:
            return
        self.send({"drop": feed.number})
        if not self._feeds and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    def send(self, order: dict[str, Any]) -> None:
        """Send a request. Without a process it is dropped: a new process receives the state of all feeds."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{json.dumps(order)}\n".encode())

    def kill_hanging_process(self) -> None:
        if self._process is not None and time.monotonic() - self._received_at > SILENT_S:
            self._kill(self._process)

    # The process

    async def _run(self) -> None:
        failures = 0
        while True:
            self._has_received = False
            try:
                status = await self._serve()
            except OSError as error:
                status, problem = 0, f"cannot be started: {error.strerror}"
            else:
                problem = f"ended {_end_text(status)}"
            failures = 1 if self._has_received else failures + 1
            if self.failure is None or self.failure.text != problem:
                log.warning("the process that reads the journal %s; it is restarted", problem)
            self.failure = JournalFailure(JournalFailureKind.BROKEN, f"the process that reads it {problem}")
            if failures >= MAX_CONSECUTIVE_CRASHES and status < 0:
                log.error("the journal cannot be read from the last cursor; continuing at its end")
                for feed in self._feeds.values():
                    feed.cursor, feed.since_us, feed.has_gap = None, 0, True
            await asyncio.sleep(min(self._first_restart_s * 2 ** (failures - 1), LONGEST_RESTART_S))

    async def _serve(self) -> int:
        """Run one process until it ends, and return its exit status."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(_PACKAGES), "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            limit=MAX_LINE_BYTES,
        )
        self._process = process
        self._received_at = time.monotonic()
        try:
            for feed in self._feeds.values():
                self.send(_follow_request(feed))
                if feed.waiting is not None:
                    self.send({"sync": feed.number, "ticket": feed.ticket})
            await self._listen(process)
            with contextlib.suppress(TimeoutError):
                # A process that does not hang ends when its input is closed.
                async with asyncio.timeout(END_WAIT_S):
                    await process.wait()
        finally:
            self._process = None
            self._kill(process)
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        return process.returncode or 0

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Receive updates until the output ends or violates the protocol."""
        if process.stdout is None:
            return
        while True:
            try:
                text = await process.stdout.readline()
                line = json.loads(text) if text else None
            except ValueError:
                return
            if not isinstance(line, dict):
                return
            self._received_at = time.monotonic()
            if "failure" in line:
                kind = line["failure"]
                is_known = kind in {known.value for known in JournalFailureKind}
                self.failure = (
                    JournalFailure(JournalFailureKind(kind), str(line.get("text"))) if is_known else None
                )
            elif "update" in line:
                update = _update_of(line)
                if update is None:
                    return
                self._apply_update(self._feeds.get(line["update"]), update)
            elif "synced" in line:
                feed = self._feeds.get(line["synced"])
                self._is_alive()
                if (
                    feed is not None
                    and feed.waiting is not None
                    and not feed.waiting.done()
                    and line.get("ticket", 0) >= feed.ticket
                ):
                    feed.waiting.set_result(None)

    def _apply_update(self, feed: JournalFeed | None, update: JournalUpdate) -> None:
        self._has_received = True
        self._is_alive()
        if feed is not None:
            if feed.has_gap:
                feed.has_gap, update = False, replace(update, lost=-1)
            feed.cursor = update.cursor
            feed.on_update(update)

    def _is_alive(self) -> None:
        if self.failure is not None and self.failure.kind is JournalFailureKind.BROKEN:
            self.failure = None

    @staticmethod
    def _kill(process: asyncio.subprocess.Process) -> None:
        # SIGKILL is safe, as the process has no state. process.kill() may reap the process before asyncio does, which
        # then reports the status 255.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _update_of(line: dict[str, Any]) -> JournalUpdate | None:
    """Return an update, None if it comes from another version."""
    try:
        return JournalUpdate(
            cursor=line["cursor"],
            counts=tuple((int(slot), int(count)) for slot, count in line["counts"]),
            total=int(line["total"]),
            last_us=int(line["last_us"]),
            lines=tuple(map(str, line["lines"])),
            lost=int(line["lost"]),
        )
    except (LookupError, TypeError, ValueError):
        return None


def _follow_request(feed: JournalFeed) -> dict[str, Any]:
    query = feed.query
    return {
        "follow": feed.number,
        "matches": query.matches,
        "pattern": query.pattern,
        "counts_inconclusive": query.counts_inconclusive,
        "excludes": query.excludes,
        "cursor": feed.cursor,
        "since_us": feed.since_us,
        "slot_us": query.slot_us,
        "slots": query.slots,
    }


def _end_text(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
