"""The process that reads the journal, and what becomes of its feeds when it dies."""

import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.journal.feed import JournalFailureKind, JournalFeed, JournalFeeds, JournalQuery, JournalUpdate
from tests.journals import JournalDirectory, until, why_no_journals

WHY_NOT = why_no_journals()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

LONG_S = 20.0
EVERYTHING = JournalQuery((), None, counts_inconclusive=True, excludes=(), slot_us=1_000_000, slots=300)
ERRORS = JournalQuery(
    (("PRIORITY", ("3",)),), "disk|memory", counts_inconclusive=True, excludes=(), slot_us=1, slots=9
)


class ReceivedUpdates:
    """The updates of a feed, added up."""

    def __init__(self) -> None:
        self.updates: list[JournalUpdate] = []

    @property
    def total(self) -> int:
        return sum(update.total for update in self.updates)

    @property
    def lines(self) -> list[str]:
        return [line for update in self.updates for line in update.lines]

    @property
    def cursor(self) -> str | None:
        return self.updates[-1].cursor if self.updates else None


@pytest.fixture
def files(tmp_path: Path) -> JournalDirectory:
    found = JournalDirectory(tmp_path)
    found.write("earlier")
    return found


@pytest.fixture
async def feeds(files: JournalDirectory) -> AsyncIterator[JournalFeeds]:
    found = JournalFeeds(files.path)
    yield found
    for feed in list(found._feeds.values()):
        await feed.close()


async def follow(
    feeds: JournalFeeds, received: ReceivedUpdates, query: JournalQuery = EVERYTHING
) -> JournalFeed:
    feed = feeds.follow(query, received.updates.append, cursor=received.cursor)
    assert await feed.sync(LONG_S)
    return feed


def kind_of_failure(feed: JournalFeed) -> JournalFailureKind | None:
    return None if feed.failure is None else feed.failure.kind


async def test_written_entry_triggers_an_update(files: JournalDirectory, feeds: JournalFeeds) -> None:
    received = ReceivedUpdates()
    await follow(feeds, received)
    files.write("one", "two")
    await until(lambda: received.total == 2)
    assert received.lines == ["one", "two"]


async def test_entry_written_before_the_query_is_counted(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    received = ReceivedUpdates()
    feed = await follow(feeds, received)
    for number in range(5):
        files.write(f"number {number}")
        assert await feed.sync(LONG_S)
        assert received.total == number + 1


async def test_feeds_share_a_process_and_each_receives_its_matches(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    all_received, errors_received = ReceivedUpdates(), ReceivedUpdates()
    feed, errors = await follow(feeds, all_received), await follow(feeds, errors_received, ERRORS)
    files.write(
        {"MESSAGE": "disk is full", "PRIORITY": "3"},
        {"MESSAGE": "disk is fine"},
        {"MESSAGE": "a bad day", "PRIORITY": "3"},
    )
    assert await feed.sync(LONG_S)
    assert await errors.sync(LONG_S)
    assert all_received.total == 3
    assert errors_received.lines == ["disk is full"]


async def test_process_ends_with_the_last_feed(files: JournalDirectory, feeds: JournalFeeds) -> None:
    first, second = await follow(feeds, ReceivedUpdates()), await follow(feeds, ReceivedUpdates())
    process = feeds.process_id
    assert process is not None
    await first.close()
    assert await second.sync(LONG_S)
    await second.close()
    await second.close()
    assert feeds.process_id is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


async def test_entry_written_while_the_process_restarts_counts_once(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    received = ReceivedUpdates()
    feed = await follow(feeds, received)
    for number in range(3):
        files.write(f"before {number}")
        if number % 2:
            await feed.sync(LONG_S)
        process = feeds.process_id
        assert process is not None
        os.kill(process, signal.SIGKILL)
        files.write(f"after {number}")
        await until(lambda: feeds.process_id not in {None, process})  # noqa: B023 - asked within the turn
        assert await feed.sync(LONG_S)
    assert received.lines == [f"{when} {number}" for number in range(3) for when in ("before", "after")]
    assert received.total == 6


async def test_feed_that_begins_where_another_ended_counts_entries_in_between_once(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    received = ReceivedUpdates()
    feed = await follow(feeds, received)
    files.write("one")
    await feed.sync(LONG_S)
    await feed.close()
    files.write("two", "three")
    await follow(feeds, received)
    assert received.lines == ["one", "two", "three"]


async def test_sighup_and_sigint_to_all_processes_do_not_end_the_reader(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    feed = await follow(feeds, ReceivedUpdates())
    process = feeds.process_id
    assert process is not None
    os.kill(process, signal.SIGHUP)
    os.kill(process, signal.SIGINT)
    assert await feed.sync(LONG_S)
    assert feeds.process_id == process


async def test_process_that_ends_repeatedly_is_a_failure_and_is_restarted(tmp_path: Path) -> None:
    feeds = JournalFeeds(command=[sys.executable, "-c", "import os; os.abort()"])
    feed = feeds.follow(EVERYTHING, ReceivedUpdates().updates.append)
    await until(lambda: feed.failure is not None)
    assert feed.failure is not None
    assert (feed.failure.kind, feed.failure.text) == (
        JournalFailureKind.BROKEN,
        "the process that reads it ended by SIGABRT",
    )
    assert not await feed.sync(0.01)
    await feed.close()


async def test_process_that_cannot_be_started_is_a_failure(tmp_path: Path) -> None:
    feeds = JournalFeeds(command=[str(tmp_path / "nothing")])
    feed = feeds.follow(EVERYTHING, ReceivedUpdates().updates.append)
    await until(lambda: feed.failure is not None)
    assert feed.failure is not None
    assert feed.failure.text.endswith("cannot be started: No such file or directory")
    await feed.close()


async def test_cursor_that_kills_the_reader_is_abandoned() -> None:
    """A damaged page under a mapped file is a repeated SIGBUS."""
    script = (
        "import sys, json, os\n"
        "for line in sys.stdin:\n"
        "    order = json.loads(line)\n"
        "    if order.get('cursor') == 'damaged': os.abort()\n"
        "    if 'follow' in order:\n"
        "        print(json.dumps({'update': 1, 'cursor': 'end', 'counts': [], 'total': 0,"
        " 'last_us': 0, 'lines': [], 'lost': 0}), flush=True)\n"
    )
    received = ReceivedUpdates()
    feeds = JournalFeeds(command=[sys.executable, "-c", script], first_restart_s=0.01)
    feed = feeds.follow(EVERYTHING, received.updates.append, cursor="damaged")
    await until(lambda: bool(received.updates))
    assert (received.cursor, received.updates[0].lost, feed.failure) == ("end", -1, None)
    await feed.close()


async def test_message_of_another_release_ends_the_process(tmp_path: Path) -> None:
    script = "import time; print('{\"update\": 1}', flush=True); time.sleep(60)"
    feeds = JournalFeeds(command=[sys.executable, "-c", script])
    feed = feeds.follow(EVERYTHING, ReceivedUpdates().updates.append)
    await until(lambda: feed.failure is not None)
    assert feed.failure is not None
    assert feed.failure.text.endswith("ended by SIGKILL")
    await feed.close()


async def test_journal_that_is_created_later_is_read(tmp_path: Path) -> None:
    files = JournalDirectory(tmp_path)
    feeds, received = JournalFeeds(files.path), ReceivedUpdates()
    feed = feeds.follow(EVERYTHING, received.updates.append)
    assert not await feed.sync(LONG_S)
    assert kind_of_failure(feed) is JournalFailureKind.ABSENT
    files.write("first")
    assert await feed.sync(LONG_S)
    assert kind_of_failure(feed) is None
    files.write("second")
    assert await feed.sync(LONG_S)
    assert received.lines[-1:] == ["second"]
    await feed.close()


async def test_journal_that_is_removed_and_returns_is_logged_and_read_again(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    received = ReceivedUpdates()
    feed = await follow(feeds, received)
    aside = files.path.parent / f"{files.path.name}.aside"
    aside.mkdir()
    for path in files.path.iterdir():
        shutil.copy2(path, aside)
        path.unlink()
    assert not await feed.sync(LONG_S)
    assert feed.failure is not None
    for path in aside.iterdir():
        path.rename(files.path / path.name)
    files.write("back")
    assert await feed.sync(LONG_S)
    assert received.lines == ["back"]


async def test_truncated_file_ends_only_the_reader_process(
    files: JournalDirectory, feeds: JournalFeeds
) -> None:
    """The cause of SIGBUS in other readers, as during a rotation on a full disk: systemd issue 24320."""
    received = ReceivedUpdates()
    feed = await follow(feeds, received)
    files.write("before", count=500)
    assert await feed.sync(LONG_S)
    process, whole = feeds.process_id, files.file.read_bytes()
    os.truncate(files.file, 4096)
    await until(lambda: feeds.process_id != process)
    assert kind_of_failure(feed) is JournalFailureKind.BROKEN
    files.file.write_bytes(whole)
    files.write("after")
    await until(lambda: kind_of_failure(feed) is None)
    assert await feed.sync(LONG_S)
    assert (received.total, received.lines[-1]) == (501, "after")
