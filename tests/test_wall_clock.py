"""Tests take their time from `FakeClock`, so that they pass at any time of day, on any date and in any time zone.

The files below read the real clock, because a process, a certificate, the journal or the file system that they use
does so. Their tests only compare such times with each other.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
READERS = {
    "bridges/test_recorder.py",
    "certificates.py",
    "cli/test_actions.py",
    "cluster/database/test_database.py",
    "cluster/test_daemons.py",
    "containers.py",
    "health/test_windows.py",
    "history/killing.py",
    "history/test_crash.py",
    "history/writing.py",
    "journal/test_reader.py",
    "journals.py",
    "monitors/exec/test_exec.py",
    "monitors/host/test_process.py",
    "monitors/http/test_http.py",
    "monitors/journal/test_journal.py",
    "monitors/steps/test_steps.py",
    "monitors/systemd/test_timer.py",
    "monitors/systemd/test_unit.py",
    "monitors/test_domain.py",
    "monitors/test_name_queue.py",
    "monitors/test_tls.py",
    "net/base/test_tls.py",
    "net/base/test_x509.py",
    "notifiers/conftest.py",
    "notifiers/test_chat.py",
    "notifiers/test_mail.py",
    "notifiers/test_two_alertmanagers.py",
    "sources/discovery/test_sources.py",
    "sources/host/test_certificates.py",
    "status/pages/test_rows.py",
    "systemds.py",
    "test_clock.py",
    "test_daemon.py",
    "web/test_files.py",
    "web_conformance/building.py",
}
CALLS = {
    "datetime.now",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}


def reads_the_wall_clock(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            return True
        if isinstance(node, ast.ImportFrom) and "SystemClock" in {name.name for name in node.names}:
            return True
    return False


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("NOW = datetime.now(UTC)", True),
        ("began = time.time()", True),
        ("from monitord.clock import Clock, SystemClock", True),
        ("NOW = datetime(2026, 3, 10, tzinfo=UTC)", False),
        ("began = time.monotonic()", False),
    ],
)
def test_reading_the_wall_clock_is_found(source: str, is_found: bool) -> None:
    assert reads_the_wall_clock(source) is is_found


def test_only_the_files_listed_here_read_the_wall_clock() -> None:
    """If this fails for a new test: use `FakeClock`, or a fixed time."""
    own_machine = TESTS / "system"
    found = {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        if not path.is_relative_to(own_machine) and reads_the_wall_clock(path.read_text())
    }
    assert found == READERS
