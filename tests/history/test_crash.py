"""kill -9 in the middle of writing: what was committed is there, whole, and the next daemon goes on."""

from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.history import History, HistorySettings
from tests.history.killing import kill_and_look


@pytest.mark.timeout(120)
def test_kill_loses_nothing_that_was_committed_and_leaves_the_parts_of_a_turn_together(
    tmp_path: Path,
) -> None:
    """`bench/history.py` does it a hundred times, and says how much is missing."""
    path = tmp_path / "history.db"
    before = 0
    for after_s in (0.05, 0.4, 0.6, 0.13):
        left = kill_and_look(path, after_s)
        assert left.results > before
        before = left.results


async def test_the_next_daemon_finds_the_last_state(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    left = kill_and_look(path, 0.3)
    history = History(path, HistorySettings(), SystemClock())
    saved = history.open()
    assert saved.daemon_states == {"number": {"next": left.results}}
    assert [one.detail for one in saved.open_incidents] == [str(left.results - 1)]
    await history.close(5)
