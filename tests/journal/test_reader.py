"""Reading real journal files: each matching entry counts once, regardless of changes to the files."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.journal.reader import (
    KEPT_LINES,
    MAX_MESSAGE_BYTES,
    TURN_ENTRIES,
    FollowedQuery,
    Journal,
    Query,
    UnreadableError,
    Update,
    entries_between,
    own_unit,
    readable,
    unit_family,
)
from tests.journals import JournalDirectory, why_no_journals

WHY_NOT = why_no_journals()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


@pytest.fixture
def files(tmp_path: Path) -> JournalDirectory:
    found = JournalDirectory(tmp_path)
    found.write("earlier")
    return found


class Reading:
    """The work of the process without its loop: receive changes, give turns."""

    def __init__(self, files: JournalDirectory) -> None:
        self.journal = Journal(files.path)
        self.following: list[FollowedQuery] = []

    def follow(self, query: Query, cursor: str | None = None, since_us: int = 0) -> FollowedQuery:
        following = FollowedQuery(query, cursor, since_us)
        self.following.append(following)
        self.read(following)
        return following

    def read(self, following: FollowedQuery) -> Update:
        """Read all entries."""
        if self.journal.has_other_files():
            for other in self.following:
                other.outdate()
        while following.turn(self.journal, self.journal.tail()):
            pass
        return following.take_update()

    def close(self) -> None:
        for following in self.following:
            following.close()
        self.journal.close()


@pytest.fixture
def reading(files: JournalDirectory) -> Iterator[Reading]:
    found = Reading(files)
    yield found
    found.close()


EVERYTHING = Query()
ERRORS = Query(matches=(("PRIORITY", ("0", "1", "2", "3")),))


def test_new_query_begins_at_the_end_of_the_journal(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(EVERYTHING)
    assert following.update.total == 0
    files.write("first", "second")
    update = reading.read(following)
    assert (update.total, list(update.messages), update.lost) == (2, ["first", "second"], 0)
    assert reading.read(following).total == 0


def test_first_match_is_found_without_an_earlier_match(files: JournalDirectory, reading: Reading) -> None:
    """A reader that was only sent to the tail would not see it."""
    following = reading.follow(ERRORS)
    files.write({"MESSAGE": "fine"}, {"MESSAGE": "bad", "PRIORITY": "3"})
    assert list(reading.read(following).messages) == ["bad"]


MATCHES = [
    pytest.param({"PRIORITY": ("3", "4")}, {"b", "c", "d"}, id="values of one field are alternatives"),
    pytest.param(
        {"PRIORITY": ("3", "4"), "_SYSTEMD_UNIT": ("x.service",)}, {"c"}, id="fields are all wanted"
    ),
    pytest.param({"_SYSTEMD_UNIT": ("nobody.service",)}, set(), id="nothing matches"),
    pytest.param({"TAGGED": ("a=b",)}, {"d"}, id="a value with an equals sign"),
]


@pytest.mark.parametrize(("matches", "found"), MATCHES)
def test_matches_are_those_of_journalctl(
    files: JournalDirectory, reading: Reading, matches: dict[str, tuple[str, ...]], found: set[str]
) -> None:
    following = reading.follow(Query(matches=tuple(matches.items())))
    files.write(
        {"MESSAGE": "a"},
        {"MESSAGE": "b", "PRIORITY": "3"},
        {"MESSAGE": "c", "PRIORITY": "4", "_SYSTEMD_UNIT": "x.service"},
        {"MESSAGE": "d", "PRIORITY": "4", "TAGGED": "a=b"},
    )
    assert set(reading.read(following).messages) == found


def test_only_accepted_messages_are_counted(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(Query(accepts=lambda message: "error" in message))
    files.write("an error", "fine", "another error")
    update = reading.read(following)
    assert (update.total, list(update.messages)) == (2, ["an error", "another error"])


def test_excluded_entries_are_skipped(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(Query(excludes=(("_SYSTEMD_UNIT", unit_family("monitord@a.service")),)))
    files.write(
        {"MESSAGE": "own", "_SYSTEMD_UNIT": "monitord@a.service"},
        {"MESSAGE": "of a sister", "_SYSTEMD_UNIT": "monitord@b.service"},
        {"MESSAGE": "of the host's", "_SYSTEMD_UNIT": "monitord.service"},
        {"MESSAGE": "of another", "_SYSTEMD_UNIT": "monitord-exporter.service"},
    )
    assert list(reading.read(following).messages) == ["of another"]


def test_restart_continues_after_the_last_entry_read(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(EVERYTHING)
    files.write("read")
    cursor = reading.read(following).cursor
    files.write("missed", "missed too")
    again = Reading(files)
    later = FollowedQuery(EVERYTHING, cursor)
    update = again.read(later)
    later.close()
    again.close()
    assert (list(update.messages), update.lost) == (["missed", "missed too"], 0)


def test_restart_continues_from_a_cursor_without_a_match(files: JournalDirectory, reading: Reading) -> None:
    """systemd 252's journalctl --after-cursor omits the first entry that matches there."""
    following = reading.follow(ERRORS)
    files.write("fine", "fine")
    cursor = reading.read(following).cursor
    files.write({"MESSAGE": "bad", "PRIORITY": "2"}, {"MESSAGE": "worse", "PRIORITY": "1"})
    assert list(reading.read(reading.follow(ERRORS, cursor)).messages) == []  # follow() has read it
    later = FollowedQuery(ERRORS, cursor)
    assert list(reading.read(later).messages) == ["bad", "worse"]
    later.close()


def test_cursor_advances_without_matches(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(ERRORS)
    before = following.cursor
    files.write("fine")
    assert reading.read(following).cursor == reading.journal.tail() != before


def test_since_begins_that_long_before_now(files: JournalDirectory, reading: Reading) -> None:
    now_s = time.time()
    files.write("long ago", at_s=now_s - 7200)
    files.write("lately", at_s=now_s - 60)
    following = FollowedQuery(EVERYTHING, None, 3600 * 1_000_000)
    update = reading.read(following)
    following.close()
    assert list(update.messages)[-1] == "lately"
    assert "long ago" not in update.messages


# Added and removed files


def test_rotation_loses_and_repeats_no_entry(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(EVERYTHING)
    files.write("before")
    assert reading.read(following).total == 1
    files.write("unread at the rotation")
    files.rotate()
    files.write("after")
    update = reading.read(following)
    assert (list(update.messages), update.lost) == (["unread at the rotation", "after"], 0)
    files.write("later")
    assert list(reading.read(following).messages) == ["later"]


def test_files_that_are_vacuumed_while_they_are_read_are_read_to_their_end(
    files: JournalDirectory, reading: Reading
) -> None:
    following = reading.follow(EVERYTHING)
    files.write("unread when it went")
    files.rotate()
    files.vacuum()
    files.write("after")
    assert list(reading.read(following).messages) == ["unread when it went", "after"]


def test_vacuumed_cursor_continues_from_the_nearest_entry_and_is_logged(
    files: JournalDirectory, reading: Reading
) -> None:
    following = reading.follow(EVERYTHING)
    files.write("read")
    cursor = reading.read(following).cursor
    files.write("lost")
    files.rotate()
    files.vacuum()
    files.write("kept", at_s=time.time() + 1)
    again = Reading(files)
    later = FollowedQuery(EVERYTHING, cursor)
    update = again.read(later)
    later.close()
    again.close()
    assert (list(update.messages), update.lost) == (["kept"], -1)


@pytest.mark.parametrize(
    ("cursor", "found", "count"),
    [
        ("s=a;i=9;b=1", "s=a;i=a;b=2", 0),
        ("s=a;i=9;b=1", "s=a;i=1f;b=1", 21),
        ("s=a;i=9;b=1", "s=b;i=a;b=1", -1),
        ("anything", "else", -1),
    ],
)
def test_number_of_lost_entries_is_known_if_sequence_numbers_continue(
    cursor: str, found: str, count: int
) -> None:
    assert entries_between(cursor, found) == count


def test_cursor_beyond_a_recreated_journal_continues_at_its_end(
    files: JournalDirectory, reading: Reading
) -> None:
    files.write("in a future that was taken back", at_s=time.time() + 86400)
    cursor = reading.journal.tail()
    files.reboot()
    files.rotate()
    files.vacuum()
    files.write("today")
    again = Reading(files)
    later = FollowedQuery(EVERYTHING, cursor)
    assert (again.read(later).lost, later.cursor) == (-1, again.journal.tail())
    files.write("tomorrow")
    assert list(again.read(later).messages) == ["tomorrow"]
    later.close()
    again.close()


def test_invalid_cursor_begins_at_the_end(files: JournalDirectory, reading: Reading) -> None:
    following = FollowedQuery(EVERYTHING, "nonsense")
    assert (reading.read(following).lost, following.cursor) == (-1, reading.journal.tail())
    following.close()


# Contents of a journal


def test_message_can_contain_any_bytes(files: JournalDirectory, reading: Reading) -> None:
    following = reading.follow(EVERYTHING)
    files.write(
        {"MESSAGE": b"caf\xe9 \xff\x00 end"},
        {"MESSAGE": "first line\nsecond line"},
        {"MESSAGE": "", "BINARY": bytes(range(256))},
        {"PRIORITY": "5"},
        {"MESSAGE": "\x1b[31mred\x07"},
    )
    update = reading.read(following)
    assert update.total == 5
    assert list(update.messages) == [
        "caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}\0 end",
        "first line\nsecond line",
        "",
        "",
        "\x1b[31mred\x07",
    ]
    assert [readable(message) for message in update.messages][1::3] == ["first line second line", "[31mred"]


def test_beginning_of_a_huge_message_is_matched(files: JournalDirectory, reading: Reading) -> None:
    seen: list[str] = []
    following = reading.follow(Query(accepts=lambda message: not seen.append(message)))  # type: ignore[func-returns-value]  # for its effect
    files.write({"MESSAGE": "x" * 3_000_000 + "error"})
    assert reading.read(following).total == 1
    assert seen == ["x" * MAX_MESSAGE_BYTES]
    assert len(readable(seen[0])) == 300


def test_flood_is_counted_in_turns_and_few_lines_are_kept(files: JournalDirectory, reading: Reading) -> None:
    query = Query(slot_us=100, slots=10)  # one entry comes a microsecond
    following = reading.follow(query)
    files.write("flood", count=5000)
    turns = 0
    has_more = True
    while has_more:
        has_more = following.turn(reading.journal, reading.journal.tail())
        turns += 1
        assert len(following.update.counts) <= 2 * query.slots + 1
    update = following.take_update()
    assert update.total == 5000
    assert turns > update.total / TURN_ENTRIES
    assert max(update.counts) == update.last_us // query.slot_us
    assert len(update.messages) == KEPT_LINES


# Missing and unreadable journals


def test_missing_and_forbidden_journals_are_distinguished(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="there is no journal in") as absent:
        Journal(tmp_path)
    assert not absent.value.is_forbidden


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may read everything; as another user see the system tests"
)
def test_journal_of_another_user_is_forbidden(files: JournalDirectory) -> None:
    files.file.chmod(0)
    with pytest.raises(UnreadableError, match="Permission denied") as forbidden:
        Journal(files.path)
    assert forbidden.value.is_forbidden


# The own unit

CGROUPS = [
    pytest.param("0::/system.slice/monitord.service\n", ("_SYSTEMD_UNIT", "monitord.service"), id="service"),
    pytest.param(
        "12:cpu:/\n1:name=systemd:/system.slice/system-monitord.slice/monitord@a.service\n0::/\n",
        ("_SYSTEMD_UNIT", "monitord@a.service"),
        id="instance, old hierarchy",
    ),
    pytest.param(
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/monitord.service\n",
        ("_SYSTEMD_USER_UNIT", "monitord.service"),
        id="of a user",
    ),
    pytest.param("0::/user.slice/user-1000.slice/session-3.scope\n", None, id="shell"),
    pytest.param("", None, id="none"),
]


@pytest.mark.parametrize(("cgroup", "unit"), CGROUPS)
def test_own_unit_is_that_of_the_control_group(cgroup: str, unit: tuple[str, str] | None) -> None:
    assert own_unit(cgroup) == unit
