"""The commands that show data: their output in 80 columns and as JSON, and their exit statuses."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.cli.commands.show import monitor_lines
from monitord.cli.control_command import main
from monitord.cli.output.wording import LocalTimes, local
from monitord.explanation import sentences
from monitord.web import Application, Request, Response, Server, json_response
from tests.cli.running_daemon import CHECKS, running_daemon
from tests.endpoint import endpoint

ROOT = Path(__file__).parent.parent.parent

Capture = pytest.CaptureFixture[str]


# status


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["a.b-c_d", "bad", "good"]),
        (["oo"], ["good"]),
        (["G*", "BAD"], ["bad", "good"]),
        (["--tag", "prod"], ["good"]),
        (["--type", "fake", "--tag", "prod"], ["good"]),
        (["--state", "pending", "a.b"], ["a.b-c_d"]),
        (["--tag", "prod", "--state", "down"], []),
    ],
)
async def test_status_shows_the_selected_monitors(
    tmp_path: Path, capsys: Capture, arguments: list[str], names: list[str]
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("status", *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert await daemon.ctl("status", *arguments, "--json") == 0
        document = json.loads(capsys.readouterr().out)
    assert [line.split()[1] for line in lines[3:]] == names
    assert [monitor["name"] for monitor in document["monitors"]] == names
    assert document["status"]["monitors"]["total"] == 3


async def test_exit_status_is_of_the_worst_selected_monitor(tmp_path: Path, capsys: Capture) -> None:
    async with endpoint(tmp_path) as at:
        for _ in range(2):
            await at.post("monitors", "bad", "check")

        async def ctl(*arguments: str) -> int:
            return await _ctl(at.path, *arguments)

        assert await ctl("status") == 2
        assert await ctl("status", "good") == 0
        assert await ctl("status", "b*") == 2
        assert await ctl("status", "--tag", "prod") == 0


async def test_pattern_without_a_match_is_reported(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("status", "shop") == 1
    assert "no monitor matches 'shop'; monitorctl status lists all monitors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tag", "prd"], "no monitor has the tag 'prd'; did you mean prod?"),
        (["--tag", "prd", "--state", "down"], "no monitor has the tag 'prd'; did you mean prod?"),
        (["--tag", "zzz"], "no monitor has the tag 'zzz'; existing tags: prod"),
        (
            ["--tag", "prod", "bad"],
            "no monitor named bad has the tag prod; monitorctl status lists the monitors",
        ),
        (["--type", "htp"], "no monitor has the type 'htp'; existing types: fake"),
        (["--type", "fakee"], "no monitor has the type 'fakee'; did you mean fake?"),
        (["good", "db-*"], ""),
        (["--json", "--tag", "prd"], "no monitor has the tag 'prd'; did you mean prod?"),
    ],
)
async def test_selection_without_a_match_is_an_error(
    tmp_path: Path, capsys: Capture, arguments: list[str], says: str
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("status", *arguments) == 1
    assert says in capsys.readouterr().err


def test_unknown_state_is_a_usage_error(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["status", "--state", "dwon"])
    assert "'dwon' is not a state; did you mean down?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["status"], ["incidents"], ["silences"], ["notifications"], ["notifiers"]]
)
async def test_tables_are_not_truncated_without_a_terminal(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    async with running_daemon(tmp_path) as daemon:
        for _ in range(2):
            await daemon.ctl("check", "bad")
        await daemon.ctl(
            "silence", "bad", "--for", "2h", "-c", "a comment that is longer than twenty columns"
        )
        capsys.readouterr()
        await daemon.ctl(*command)
    assert "…" not in capsys.readouterr().out


async def _ctl(path: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["--socket", str(path), *arguments])


# show and last


async def test_show_prints_all_data_of_a_monitor(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        await daemon.ctl("check", "good")
        capsys.readouterr()
        assert await daemon.ctl("show", "good") == 0
        out = capsys.readouterr().out
        assert await daemon.ctl("show", "good", "--json") == 0
        document = json.loads(capsys.readouterr().out)
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line and " " in line)
    assert out.startswith("good (fake) has been up for ")
    assert lines["tags"] == "prod"
    # The daemon has been up since then, for as long as the commands have taken.
    assert re.fullmatch(r"1h to 90d 90\.0\d\d % \(of the 30m with data\)", lines["uptime"])
    assert lines["last"].startswith("24h    27 pass, 3 fail") or "27 pass, 3 fail" in out
    assert "\nresponse time  p50 " in out
    assert "next check" in out
    assert "\npass  looked\n" in out
    assert document["name"] == "good"


async def test_show_prints_the_open_incident_and_a_missing_check(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("show", "bad") == 0
        shown = capsys.readouterr().out
        assert "\ncause          It is pending until the next check, at 2026-01-01 " in shown
        assert shown.endswith("\nnot checked yet\n")
        for _ in range(2):
            await daemon.ctl("check", "bad")
        capsys.readouterr()
        assert await daemon.ctl("show", "bad") == 0
    out = capsys.readouterr().out
    assert "\nincident       " in out
    assert "\nreason         refused (connection refused)\n" in out


async def test_show_prints_the_silence(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("show", "good", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    silence = {"until": "2026-01-01T12:00:00Z", "by": "kim (uid 1000)", "comment": "new disk"}
    lines = monitor_lines(
        shown, {"incident": None, "silence": silence, "cause": None}, columns=80, colour=False
    )
    assert "silenced       until 2026-01-01 12:00:00 UTC by kim (uid 1000): new disk" in lines


async def test_show_aligns_the_labels(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("show", "good", "--json") == 0
    shown = json.loads(capsys.readouterr().out) | {"depends_on": ["gw"], "depends_on_any": ["a", "b"]}
    lines = monitor_lines(shown, {"incident": None, "silence": None, "cause": None}, columns=80, colour=False)
    assert "depends on      gw" in lines
    assert "depends on any  a, b" in lines


async def test_last_prints_each_result_with_its_fields(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        assert await daemon.ctl("results", "good", "-n", "2") == 0
        out = capsys.readouterr().out
        assert await daemon.ctl("results", "good", "--failed", "--json") == 0
        failed = json.loads(capsys.readouterr().out)["results"]
        assert await daemon.ctl("results", "bad", "--failed") == 0
        assert capsys.readouterr().out == "no failures\n"
        assert await daemon.ctl("results", "bad") == 0
        assert capsys.readouterr().out == "not checked yet\n"
    assert out.count("pass  GET / 200") == 2
    assert out.count("\nconnect ") == 2
    assert [result["verdict"] for result in failed] == ["fail"] * 3
    assert failed[0]["fields"]["response_time"] == 0.01


# history


async def test_history_draws_checks_times_and_uptime(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        assert await daemon.ctl("history", "good", "--since", "40m") == 0
        out = capsys.readouterr().out
        assert await daemon.ctl("history", "good", "--since", "40m", "--json") == 0
        document = json.loads(capsys.readouterr().out)
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("good from 2026-01-01 ")
    last, checks, times, uptime = (lines[number][15:].strip() for number in (2, 4, 6, 8))
    assert [line[:15].strip() for line in lines[2:10:2]] == ["last", "checks", "response time", "uptime"]
    assert last == ("█" + "▁" * 9) * 3
    assert lines[3].strip().startswith("the last 30 checks, since 2026-01-01 ")
    assert (checks.count("█"), checks.count("▁")) == (3, 27)
    assert lines[5].strip() == "30 checks: 27 pass, 3 fail"
    assert times[0] in "▇█"
    assert times[-1] == "▁"
    assert lines[7].strip().startswith("min 1.0 ms, p50 15.")
    assert uptime.count("▁") >= 2
    assert uptime.startswith("█" * 20)
    assert lines[9].strip() == "90.000 %; 27m up, 3m down"
    assert len(document["results"]) == CHECKS
    assert document["uptime"]["ratio"] == 0.9
    assert document["series"]["total"]["checks"]["fail"] == 3


async def test_history_without_checks_states_that_there_are_none(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("history", "bad") == 0
    out = capsys.readouterr().out
    assert "no checks" in out
    assert "no response times" in out


async def test_export_prints_the_whole_stored_history(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        assert await daemon.ctl("history", "export", "good") == 0
        lines = capsys.readouterr().out.splitlines()
        assert await daemon.ctl("history", "export", "good", "--format", "csv") == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert await daemon.ctl("history", "export", "good", "--buckets", "hour") == 0
        hours = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert await daemon.ctl("history", "export", "godo") == 1
        assert "did you mean good?" in capsys.readouterr().err
    assert len(lines) == CHECKS
    assert [row["started_at"] for row in rows] == [json.loads(line)["started_at"] for line in lines]
    assert sum(hour["checks"]["pass"] for hour in hours) == 27


def test_export_of_two_monitors_is_a_usage_error(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["history", "export", "one", "two"])
    assert "export needs a single monitor; write: export NAME" in capsys.readouterr().err


async def test_export_without_a_monitor_is_a_usage_error(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        with pytest.raises(SystemExit, match="64"):
            await daemon.ctl("history", "export")
    assert "export needs the name of a monitor; write: export NAME" in capsys.readouterr().err


# incidents, explain


async def test_incidents_are_newest_first(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        assert await daemon.ctl("incidents") == 0
        lines = capsys.readouterr().out.splitlines()
        assert await daemon.ctl("incidents", "--open", "good") == 0
        still = capsys.readouterr().out.splitlines()
        assert await daemon.ctl("incidents", "-n", "1", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert await daemon.ctl("incidents", "bad") == 0
        assert capsys.readouterr().out == "no incidents\n"
        assert await daemon.ctl("incidents", "--open", "bad") == 0
        assert capsys.readouterr().out == "no open incidents\n"
    assert [line.split()[0] for line in lines] == ["STATE", "open", "closed"]
    assert lines[2].split()[4:] == ["1m", "refused", "no", "answer"]
    assert len(still) == 2
    assert [incident["id"] for incident in document["incidents"]] == ["i6"]


async def test_explain_does_not_wrap_sentences_in_a_pipe(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.ctl("check", "bad")
        capsys.readouterr()
        assert await daemon.ctl("explain", "bad") == 0
        out = capsys.readouterr().out
        assert await daemon.ctl("explain", "bad", "--json") == 0
        document = json.loads(capsys.readouterr().out)
    assert out.startswith("bad is pending.\nThe last check, at ")
    assert out.splitlines() == sentences(document, LocalTimes())
    assert out.count("UTC") == 1
    # In local time.
    assert local(document["last_result"]["started_at"]) in out
    assert document["last_result"]["started_at"] not in out


# common to all


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["results"],
        ["history"],
        ["history", "export"],
        ["incidents"],
        ["explain"],
        ["check"],
        ["pause"],
        ["resume"],
        ["ack"],
        ["heartbeat"],
        ["silence", "--for", "1h"],
        ["events"],
    ],
    ids=" ".join,
)
async def test_unknown_monitor_is_reported_with_the_nearest(
    tmp_path: Path, capsys: Capture, command: list[str]
) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl(*command, "goood") == 1
        assert capsys.readouterr().err == "monitorctl: no monitor has the name 'goood'; did you mean good?\n"
        assert await daemon.ctl(*command, "xyz") == 1
        assert "monitorctl status lists the monitors" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["status"], ["history", "good"], ["results", "good"], ["show", "good"]], ids=" ".join
)
async def test_output_is_ascii_without_unicode(tmp_path: Path, arguments: list[str]) -> None:
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()

        plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [sys.executable, "-m", "monitord.cli", "--socket", str(daemon.path), *arguments],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **plain},
                capture_output=True,
                check=False,
            )
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    if arguments[0] == "history":
        assert b"X" in done.stdout
        assert b"#" in done.stdout


@pytest.mark.parametrize("columns", ["1", "12", "13", "20"])
@pytest.mark.parametrize(
    "arguments", [["status"], *([name, "good"] for name in ("history", "results", "show", "explain"))], ids=" ".join
)  # fmt: skip
async def test_output_fits_narrow_terminals(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    async with running_daemon(tmp_path) as daemon:
        await daemon.write_past()
        await daemon.ctl("check", "good")
        assert await daemon.ctl(*arguments) == 0
    assert capsys.readouterr().err == ""


async def test_json_is_utf8_or_ascii(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "good", "--for", "1h", "-c", "für \u4e2d") == 0
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [sys.executable, "-m", "monitord.cli", "--socket", str(daemon.path), "silences", "--json"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"},
                capture_output=True,
                check=True,
            )
        )
    assert json.loads(done.stdout.decode())["silences"][0]["comment"] == "für \u4e2d"


async def test_older_daemon_without_the_endpoint_is_not_an_unknown_monitor(
    tmp_path: Path, capsys: Capture
) -> None:
    """Between an upgrade and the restart of the daemon."""

    async def list_all(_: Request) -> Response:
        return json_response({"monitors": [{"name": "good"}], "next_cursor": None})

    application = Application()
    application.router.add_get("/api/v1/monitors", list_all)
    async with Server(application, path=tmp_path / "s"):
        assert await asyncio.to_thread(main, ["--socket", str(tmp_path / "s"), "explain", "good"]) == 1
    assert capsys.readouterr().err == "monitorctl: 404: Not Found\n"


@pytest.mark.parametrize(
    "answer", [{}, {"monitors": {}}, {"monitors": [{"name": "good"}], "next_cursor": None}]
)
async def test_response_of_another_structure_is_reported_without_traceback(
    tmp_path: Path, capsys: Capture, answer: object
) -> None:
    async def say(_: Request) -> Response:
        return json_response(answer)

    application = Application()
    application.router.add_get("/{path:path}", say)
    async with Server(application, path=tmp_path / "s"):
        for command in (["status"], ["show", "good"], ["silences"], ["incidents"]):
            asked = ["--socket", str(tmp_path / "s"), *command]
            assert await asyncio.to_thread(main, asked) == 1, command
            message = capsys.readouterr().err
            assert message.startswith("monitorctl: the response does not have the structure that monitorctl ")
            assert "systemctl restart monitord" in message


@pytest.mark.parametrize("opened_at", ["\x1b[2J", "2026-13-01T00:00:00Z", "-1", float("nan"), 10**400])
async def test_time_that_is_not_a_time_is_reported_without_traceback(
    tmp_path: Path, capsys: Capture, opened_at: object
) -> None:
    async def say(_: Request) -> Response:
        incident = {"monitor": "web", "opened_at": opened_at, "closed_at": None, "reason": "", "detail": ""}
        return json_response({"incidents": [incident], "next_before": None})

    application = Application()
    application.router.add_get("/{path:path}", say)
    async with Server(application, path=tmp_path / "s"):
        assert await asyncio.to_thread(main, ["--socket", str(tmp_path / "s"), "incidents"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("monitorctl: the response does not have the structure that monitorctl ")
    assert message.rstrip("\n").isprintable()


async def test_control_characters_of_comments_are_not_printed(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("silence", "good", "--for", "1h", "-c", "\x1b]0;owned\x07\x9b2J") == 0
        assert await daemon.ctl("silences") == 0
    out = capsys.readouterr().out
    assert "owned" in out
    assert not any(sign in out for sign in "\x1b\x07\x9b")


async def test_json_of_version_works_with_and_without_a_daemon(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("version", "--json") == 0
        both = json.loads(capsys.readouterr().out)
    assert both["monitorctl"] == both["monitord"]
    assert main(["--socket", str(tmp_path / "none"), "version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["monitord"] is None
