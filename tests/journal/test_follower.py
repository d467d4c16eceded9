"""The program that follows the journal, spoken to as the daemon does: lines of JSON."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.journal.feed import follower_command
from monitord.journal.follower import Follower
from tests.journals import JournalDirectory, why_no_journals

WHY_NOT = why_no_journals()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

ROOT = Path(__file__).parent.parent.parent
FOLLOW: dict[str, Any] = {
    "follow": 1,
    "matches": [],
    "pattern": None,
    "counts_inconclusive": True,
    "excludes": [],
    "cursor": None,
    "since_us": 0,
    "slot_us": 1_000_000,
    "slots": 300,
}


@pytest.fixture
def files(tmp_path: Path) -> JournalDirectory:
    found = JournalDirectory(tmp_path)
    found.write("earlier")
    return found


class FollowerOutput:
    """A follower in this process, and what it put."""

    def __init__(self, files: JournalDirectory) -> None:
        self.lines: list[dict[str, Any]] = []
        self.follower = Follower(self.lines.append, files.path)

    def sync(self, name: int = 1) -> list[dict[str, Any]]:
        """Return the updates until everything has been read."""
        self.lines.clear()
        self.follower.handle({"sync": name, "ticket": 5})
        while not any("synced" in line for line in self.lines):
            self.follower.work()
        return list(self.lines)


@pytest.fixture
def output(files: JournalDirectory) -> Iterator[FollowerOutput]:
    found = FollowerOutput(files)
    yield found
    for name in list(found.follower._following):
        found.follower.handle({"drop": name})
    if found.follower._journal is not None:
        found.follower._journal.close()


def test_updates_precede_the_report_that_everything_was_read(
    files: JournalDirectory, output: FollowerOutput
) -> None:
    output.follower.handle(FOLLOW)
    output.sync()
    files.write("one\ttwo")
    update, synced = output.sync()
    assert (update["update"], update["total"], update["lines"], update["lost"]) == (1, 1, ["one two"], 0)
    assert sum(count for _, count in update["counts"]) == 1
    assert synced == {"synced": 1, "ticket": 5}


def test_pattern_has_the_syntax_of_conditions(files: JournalDirectory, output: FollowerOutput) -> None:
    output.follower.handle({**FOLLOW, "pattern": "(?i)^err.*[0-9]$"})
    output.sync()
    files.write("Error 7", "an error 8", "error x")
    assert output.sync()[0]["lines"] == ["Error 7"]


@pytest.mark.parametrize("counts_inconclusive", [True, False])
def test_message_with_an_undecided_search_counts_as_configured(
    files: JournalDirectory, output: FollowerOutput, counts_inconclusive: bool
) -> None:
    output.follower.handle(
        {**FOLLOW, "pattern": "[ab]*a[ab]{400}c", "counts_inconclusive": counts_inconclusive}
    )
    output.sync()
    text = "".join(format(number, "010b") for number in range(1 << 10)).translate(str.maketrans("01", "ab"))
    files.write(text)
    assert output.sync()[0]["total"] == int(counts_inconclusive)


def test_dropped_query_sends_no_further_update(files: JournalDirectory, output: FollowerOutput) -> None:
    output.follower.handle(FOLLOW)
    output.follower.handle({**FOLLOW, "follow": 2})
    output.sync()
    output.sync(2)
    output.follower.handle({"drop": 1})
    output.follower.handle({"sync": 1, "ticket": 6})
    files.write("for one alone")
    assert {line.get("update", line.get("synced")) for line in output.sync(2)} == {2}


def test_queries_take_turns_in_a_flood_of_entries(files: JournalDirectory, output: FollowerOutput) -> None:
    output.follower.handle(FOLLOW)
    output.follower.handle({**FOLLOW, "follow": 2, "matches": [["PRIORITY", ["3"]]]})
    output.sync()
    output.sync(2)
    files.write("flood", count=9000)
    files.write({"MESSAGE": "drop", "PRIORITY": "3"})
    lines = output.sync(2)
    # The few are there before the many are read.
    assert [line["lines"] for line in lines if line.get("update") == 2] == [["drop"]]
    assert sum(line["total"] for line in lines if line.get("update") == 1) < 9001
    assert sum(line["total"] for line in [*lines, *output.sync()] if line.get("update") == 1) == 9001


def test_program_ends_with_its_input(files: JournalDirectory) -> None:
    orders = f"{json.dumps(FOLLOW)}\n"
    ended = subprocess.run(
        follower_command(files.path),
        input=orders,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert (ended.stdout, ended.stderr) == ("", "")


def test_missing_journal_is_logged_once(tmp_path: Path) -> None:
    output = FollowerOutput(JournalDirectory(tmp_path))
    output.follower.handle(FOLLOW)
    failure, synced = output.sync()
    assert (failure["failure"], synced["synced"]) == ("absent", 1)
    assert output.sync() == [synced]
