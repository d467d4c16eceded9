"""`monitorctl what-if`: text, JSON, exit status and errors, with a database that a daemon has written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitord.cli.exit_status import EXIT_DIFFERENT, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from monitord.cli.what_if import main
from monitord.history import History, HistorySettings
from monitord.model import Incident, Observation, Reason, Result, State, Verdict
from tests.fakes import FakeClock, run_in_fake_time
from tests.replay.replays import EVERY_S, LENGTH_S, NOTIFIER, at, tcp

Capture = pytest.CaptureFixture[str]

SHOP = NOTIFIER + tcp("shop")
SLOWER = NOTIFIER + tcp("shop", "fail_after = 4")


class _LaterClock(FakeClock):
    """A clock that shows the end of the results."""

    START = at(LENGTH_S)

    def monotonic_s(self) -> float:
        return 0.0


class Prepared:
    """Two configurations and the history with an outage of 30 seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = folder / "history.sqlite3"
        self.current = folder / "current.toml"
        self.new = folder / "new.toml"
        self.current.write_text(SHOP)

    def write_results(self, *names: str) -> None:
        async def run() -> None:
            history = History(self.history, HistorySettings(), FakeClock())
            history.open()
            history.start()
            for seconds in range(0, LENGTH_S, EVERY_S):
                for name in names:
                    is_failing = 100 <= seconds < 130
                    reason, verdict = (
                        (Reason.REFUSED, Verdict.FAIL) if is_failing else (Reason.OK, Verdict.PASS)
                    )
                    observation = Observation(at(seconds), 0.05, reason, "connection refused")
                    history.add_result(name, Result(observation, verdict), State.UP, {})
            for name in {"shop", "all"}.intersection(names):
                history.add_incident(Incident(name, name, at(100), Reason.REFUSED, "connection refused"))
            await history.close(60.0)

        run_in_fake_time(run)

    def run(self, new: str, *options: str) -> int:
        self.new.write_text(new)
        paths = ("--current", str(self.current), "--history", str(self.history))
        return main(["--config", str(self.new), *paths, *options], _LaterClock())


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setenv("TZ", "UTC")
    return Prepared(tmp_path)


def test_text_shows_both_versions_of_an_alert(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop")
    assert prepared.run(SLOWER, "--since", "20m") == EXIT_DIFFERENT
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("120 results of 1 monitor")
    assert [line.split() for line in lines[2:7]] == [
        ["current", "new.toml"],
        ["alerts", "1", "0"],
        ["incidents", "1", "0"],
        ["notifications", "2", "0"],
        ["to", "ops", "2", "0"],
    ]
    assert "Alerts that differ: 1" in lines
    assert "Incidents that differ: 1" in lines
    start = lines.index("shop")
    assert lines[start + 1].startswith("  current  down, refused: ")
    assert lines[start + 2].endswith(" problem to ops")
    assert lines[start + 3].endswith(" recovery to ops")
    assert lines[start + 4] == "  new      no alert"
    assert any("the retries of a higher fail_after are not stored" in line for line in lines)
    assert lines[-1].startswith("  Acknowledgements, silences, pauses, restarts")


def test_equal_configurations_exit_with_0(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop")
    assert prepared.run(SHOP, "--since", "20m") == EXIT_OK
    assert "No alert, incident or notification would have differed." in capsys.readouterr().out


def test_json_has_all_differences(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop", "unknown")
    assert prepared.run(SLOWER + tcp("other"), "--since", "20m", "--json") == EXIT_DIFFERENT
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["from"] == "2026-01-01T00:00:00.000Z"
    assert document["results"] == {"current": 120, "new": 120}
    assert (document["alerts"]["current"], document["alerts"]["new"]) == (1, 0)
    (change,) = document["alerts"]["changes"]
    assert change["new"] is None
    current = change["current"]
    assert (current["monitor"], current["state"], current["reason"]) == ("shop", "down", "refused")
    assert (current["from"], current["to"]) == ("2026-01-01T00:01:40.000Z", "2026-01-01T00:02:10.000Z")
    assert [(sent["notifier"], sent["kind"]) for sent in current["notifications"]] == [
        ("ops", "problem"),
        ("ops", "recovery"),
    ]
    assert (document["incidents"]["current"], document["incidents"]["stored"]) == (1, 1)
    assert [incident["new"] for incident in document["incidents"]["changes"]] == [None]
    assert document["notifications"]["notifiers"] == {"ops": {"current": 2, "new": 0}}
    assert document["limits"] == [
        {"kind": "retries", "monitor": "shop", "values": ["fail_after"]},
        {"kind": "no_results", "monitor": "other", "values": []},
    ]
    assert document["not_replayed"] == ["unknown"]


def test_period_without_results_is_stated(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results()
    assert prepared.run(SLOWER) == EXIT_OK
    assert "There are no stored results of these monitors in the period." in capsys.readouterr().out


KEPT = " Results are kept for 1d: to keep them longer, increase result_retention in [history]."


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        pytest.param(
            "7d",
            "The requested period begins at 2025-12-25 00:20:00, but there are no stored results of its first "
            f"6d23h.{KEPT}",
            id="longer than the retention",
        ),
        pytest.param(
            "12h",
            "The requested period begins at 2025-12-31 12:20:00, but there are no stored results of its first "
            "11h40m.",
            id="longer than the daemon has run",
        ),
        pytest.param("1h", "", id="about as long as the stored results"),
    ],
)
def test_shorter_period_is_stated_before_the_results(
    prepared: Prepared, capsys: Capture, since: str, expected: str
) -> None:
    prepared.write_results("shop")
    assert prepared.run(SHOP, "--since", since) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("120 results of 1 monitor")
    assert lines[1] == expected


def test_history_that_differs_from_the_replay_is_stated(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop")
    prepared.current.write_text(SLOWER)
    prepared.run(SHOP, "--since", "20m")
    assert "The history has 1 incident of these monitors; the replay" in capsys.readouterr().out


def test_group_is_not_listed_as_a_monitor_without_a_configuration(
    prepared: Prepared, capsys: Capture
) -> None:
    """Its stored results are not needed, and its incidents count."""
    prepared.write_results("shop", "all")
    with_group = SHOP + '[monitors.all]\ntype = "group"\nmembers = ["shop"]\n'
    prepared.current.write_text(with_group)
    assert prepared.run(with_group, "--since", "20m", "--json") == EXIT_OK
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["not_replayed"] == []
    assert (document["incidents"]["current"], document["incidents"]["stored"]) == (2, 2)


def test_listed_differences_are_limited(prepared: Prepared, capsys: Capture) -> None:
    names = ("shop", "a", "b")
    prepared.write_results(*names)
    prepared.current.write_text(NOTIFIER + "".join(map(tcp, names)))
    new = NOTIFIER + "".join(tcp(name, "fail_after = 4") for name in names)
    assert prepared.run(new, "--since", "20m", "-n", "1") == EXIT_DIFFERENT
    assert "2 more; --lines 3 shows all of them" in capsys.readouterr().out


def test_maintenance_window_with_only_past_times_is_accepted(prepared: Prepared, capsys: Capture) -> None:
    """check-config rejects it, but it may be in the period."""
    prepared.write_results("shop")
    calendar = "2026-01-01 00:00:00 UTC"
    window = f'[maintenance.update]\nmonitors = ["shop"]\nschedule = "{calendar}"\nduration = "10m"\n'
    assert prepared.run(SHOP + window, "--since", "20m", "--json") == EXIT_DIFFERENT
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["notifications"]["new"] == 0


def test_objectives_that_are_not_evaluated_again_are_stated(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop", "objective:shop")
    objective = NOTIFIER + tcp("shop", "slo = { target = 99.9 }")
    prepared.current.write_text(objective)
    assert prepared.run(objective, "--since", "20m") == EXIT_OK
    limits = capsys.readouterr().out.partition("Limits:\n")[2]
    assert "  objective:shop: the stored results are kept, so its alerts do not change with" in limits


def test_service_user_is_set_before_its_database_is_opened(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that the service has put there must not be followed as root."""
    prepared.write_results("shop")
    prepared.new.write_text(SHOP)
    database = prepared.folder / "monitord@shop" / "history.sqlite3"
    database.parent.mkdir()

    def drop(config: Path) -> None:
        assert config == prepared.current
        prepared.history.rename(database)  # it cannot have been opened before

    monkeypatch.setattr("monitord.cli.what_if.STATE_DIRECTORIES", prepared.folder)
    monkeypatch.setattr("monitord.cli.what_if.unit_of_config", lambda _: "monitord@shop.service")
    monkeypatch.setattr("monitord.cli.what_if.drop_privileges_to_service_user", drop)
    paths = ["--current", str(prepared.current), "--config", str(prepared.new), "--since", "20m"]
    assert main(paths, _LaterClock()) == EXIT_OK
    assert database.exists()


def test_rejected_configuration_is_reported_with_all_errors(prepared: Prepared, capsys: Capture) -> None:
    prepared.write_results("shop")
    assert prepared.run(SHOP + "nonsense = 1\nfail_aftr = 2\n") == EXIT_FAILED
    output = capsys.readouterr()
    assert output.out == ""
    assert f"{prepared.new}:" in output.err
    assert "the configuration is rejected; 2 errors" in output.err


def test_history_that_cannot_be_read_is_reported(prepared: Prepared, capsys: Capture) -> None:
    assert prepared.run(SHOP) == EXIT_FAILED
    assert "run this command as root, or name a readable copy with --history" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ("", "belongs to no unit and sets no directory in [history]; name the database with --history"),
        ("[history]\nenabled = false\n", "write enabled = true in [history]"),
        (
            '[history]\ndirectory = "/nonexistent"\n',
            "the history /nonexistent/history.sqlite3 cannot be read",
        ),
    ],
)
def test_database_is_that_of_the_current_configuration(
    prepared: Prepared, capsys: Capture, history: str, expected: str
) -> None:
    prepared.current.write_text(SHOP + history)
    assert main(["--config", str(prepared.current), "--current", str(prepared.current)]) == EXIT_FAILED
    assert expected in capsys.readouterr().err


def test_command_runs_as_another_process(prepared: Prepared) -> None:
    """The usage error shows that the options reach the module that replays."""
    command = [sys.executable, "-m", "monitord.cli", "what-if"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_USAGE
    assert "--config" in done.stderr
