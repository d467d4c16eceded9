"""`monitorctl report`: periods, selection, formats and files."""

import json
from pathlib import Path

import pytest

from monitord.cli.command_line import parse
from monitord.cli.commands import COMMANDS
from monitord.cli.exit_status import EXIT_USAGE
from tests.cli.running_daemon import running_daemon
from tests.configurations import settings_of

Capture = pytest.CaptureFixture[str]


async def test_report_is_text_json_or_html(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        assert await daemon.ctl("report", "--week", "2026-W01", "good") == 0
        text = capsys.readouterr().out
        assert await daemon.ctl("report", "--week", "2026-W01", "good", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert await daemon.ctl("report", "--week", "2026-W01", "good", "--format", "json") == 0
        assert json.loads(capsys.readouterr().out)["total"] == document["total"]
        assert await daemon.ctl("report", "--month", "2026-01", "--format", "html") == 0
        page = capsys.readouterr().out
    assert text.startswith("Weekly report 2026-W01\n2025-12-29 00:00 to 2026-01-05 00:00 UTC")
    assert [monitor["name"] for monitor in document["monitors"]] == ["good"]
    assert document["total"]["incidents"] == 2
    assert page.startswith("<!doctype html>")


async def test_report_without_a_period_is_of_the_last_month(tmp_path: Path, capsys: Capture) -> None:
    """The clock of the daemon shows 1 January 2026."""
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("report") == 0
    assert capsys.readouterr().out.startswith("Monthly report 2025-12\n")


async def test_range_has_a_start_and_an_end(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        period = ("--since", "2025-12-31", "--until", "2026-01-01T12:00:00+01:00")
        assert await daemon.ctl("report", *period, "--json") == 0
        found = json.loads(capsys.readouterr().out)["period"]
    assert (found["from"], found["to"]) == ("2025-12-31T00:00:00.000Z", "2026-01-01T11:00:00.000Z")
    assert found["kind"] == "range"


async def test_age_is_a_start_and_the_end_is_now(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("report", "--since", "7d", "--json") == 0
        document = json.loads(capsys.readouterr().out)
    assert document["period"]["kind"] == "range"
    assert document["previous_period"]["to"] == document["period"]["from"]


async def test_zone_is_the_requested_one_or_that_of_the_environment(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_daemon(tmp_path) as daemon:
        starts = {}
        for environment, options in (
            ("UTC", []),
            (":America/New_York", []),
            ("America/New_York", ["--time-zone", "Europe/Berlin"]),
            ("XYZ-3", []),  # POSIX: no name of a zone
        ):
            monkeypatch.setenv("TZ", environment)
            assert await daemon.ctl("report", "--month", "2026-10", "--json", *options) == 0
            starts[environment, *options] = json.loads(capsys.readouterr().out)["period"]["time_zone"]
    assert list(starts.values()) == ["UTC", "America/New_York", "Europe/Berlin", None]


async def test_selection_is_by_name_pattern_and_tag(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("report", "b*", "good", "--json") == 0
        named = json.loads(capsys.readouterr().out)["monitors"]
        assert await daemon.ctl("report", "--tag", "prod", "--json") == 0
        tagged = json.loads(capsys.readouterr().out)["monitors"]
        assert await daemon.ctl("report", "-n", "1", "--json") == 0
        limited = json.loads(capsys.readouterr().out)
        assert await daemon.ctl("report", "goood") == 1
    assert [monitor["name"] for monitor in named] == ["bad", "good"]
    assert [monitor["name"] for monitor in tagged] == ["good"]
    assert (len(limited["monitors"]), limited["monitor_count"]) == (1, 3)
    assert "no monitor has the name 'goood'; did you mean good?" in capsys.readouterr().err


async def test_report_is_written_to_a_file(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        file = tmp_path / "report.html"
        assert await daemon.ctl("report", "--format", "html", "--output", str(file)) == 0
        assert capsys.readouterr().out == ""
        assert file.read_text().startswith("<!doctype html>")
        assert await daemon.ctl("report", "--output", str(tmp_path / "none" / "report.txt")) == 1
    assert "report.txt: cannot write the report: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--month", "2026-13"], "'2026-13' is not a month; write something like 2026-10"),
        (["--month", "October"], "'October' is not a month"),
        (["--week", "2026-44"], "'2026-44' is not a week; write something like 2026-W44"),
        (["--month", "2026-10", "--week", "2026-W44"], "not allowed with argument --month"),
        (["--since", "yesterday"], "'yesterday' is neither a time nor a duration"),
        (["--until", "7d"], "--until needs --since"),
        (["--since", "2100-01-01"], "the period does not end after its start"),
        (["--since", "1d", "--until", "2d"], "the period does not end after its start"),
        (["--time-zone", "Mars"], "'Mars' is not a time zone of this host"),
        (["--format", "pdf"], "invalid choice: 'pdf'"),
        (["--max-monitors", "0"], "is not a positive whole number"),
    ],
)
async def test_usage_errors_contain_a_correction(
    tmp_path: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    async with running_daemon(tmp_path) as daemon:
        with pytest.raises(SystemExit) as ended:
            await daemon.ctl("report", *arguments)
    assert ended.value.code == EXIT_USAGE
    assert says in capsys.readouterr().err


def test_every_format_is_accepted() -> None:
    for name in ("text", "html", "json"):
        assert parse(COMMANDS, ["report", "--format", name]).format == name


async def test_scheduled_reports_are_shown_with_their_failures(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("reports") == 0
        assert "no reports are scheduled; add [reports.NAME]" in capsys.readouterr().out
        directory = tmp_path / "reports"
        keys = f'[reports.all]\nschedule = "weekly UTC"\ndirectory = "{directory}"\n'
        scheduler = daemon.world.report_scheduler
        scheduler.apply(settings_of(tmp_path, keys).reports, ())
        assert await daemon.ctl("reports") == 0
        waiting = capsys.readouterr().out
        await scheduler.deliver_due()
        directory.write_text("not a directory")
        daemon.world.clock.skipped_s += 7 * 86400
        await scheduler.deliver_due()
        assert await daemon.ctl("reports") == 1
        failing = capsys.readouterr().out
        directory.unlink()
        daemon.world.clock.skipped_s += 60
        await scheduler.deliver_due()
        assert await daemon.ctl("reports", "--json") == 0
        (shown,) = json.loads(capsys.readouterr().out)["reports"]
    assert waiting.splitlines()[0].split() == ["REPORT", "PERIOD", "NEXT", "(UTC)", "RECIPIENTS", "STATE"]
    assert "not delivered since the start of the daemon" in waiting
    assert "failing since 2026-01-08" in failing
    assert (shown["last_period"], shown["error"]) == ("2026-W01", None)
