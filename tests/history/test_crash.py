"""SIGKILL during writes: committed rows are complete, and the next run continues."""

from pathlib import Path

import pytest

from monitord.clock import SystemClock
from monitord.history import History, HistorySettings
from tests.history.killing import kill_and_inspect


@pytest.mark.timeout(120)
def test_kill_loses_no_committed_row_and_splits_no_iteration(
    tmp_path: Path,
) -> None:
    """`bench/history.py` does this a hundred times."""
    path = tmp_path / "history.db"
    before = 0
    for after_s in (0.05, 0.4, 0.6, 0.13):
        left = kill_and_inspect(path, after_s)
        assert left.results > before
        before = left.results


async def test_restart_after_kill_finds_the_last_state(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    left = kill_and_inspect(path, 0.3)
    history = History(path, HistorySettings(), SystemClock())
    saved = history.open()
    assert saved.daemon_states == {"number": {"next": left.results}}
    assert [incident.detail for incident in saved.open_incidents] == [str(left.results - 1)]
    await history.close(5)
