"""The output and the exit statuses of monitorctl."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord import __version__
from monitord.cli.client.connection import _ACCESS_HINT, DaemonAddress, _unreachable
from monitord.cli.control_command import main
from monitord.cli.output.tables import headline, monitor_rows, table
from monitord.cli.output.wording import cells
from monitord.paths import SYSTEM_SOCKET
from monitord.status import ReloadOutcome
from tests.endpoint import ACCEPTED, REFUSED, endpoint

ROOT = Path(__file__).parent.parent.parent


async def ctl(path: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["--socket", str(path), *arguments])


async def test_status_shows_each_monitor_and_exits_by_the_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "status") == 0
        for name in ("good", "bad", "bad"):
            await at.post("monitors", name, "check")
        capsys.readouterr()
        assert await ctl(at.path, "status") == 2
    lines = capsys.readouterr().out.splitlines()
    assert "3 monitors: 1 pending, 1 up, 1 down" in lines[0]
    assert lines[2].split() == ["STATE", "MONITOR", "TYPE", "CHECKED", "RESULT"]
    assert lines[3].startswith("down     bad      fake")
    assert "looked" in lines[3]


def test_single_monitor_is_counted_in_the_singular() -> None:
    status = {
        "version": "1",
        "state": "running",
        "uptime_s": 1.0,
        "history": {"error": None},
        "reload": {"status": "applied"},
    }
    lines = headline({**status, "monitors": {"total": 1, "up": 1}})
    assert lines == ["monitord 1 running for 1s; 1 monitor: 1 up"]
    assert headline({**status, "monitors": {"total": 0}})[0].endswith("; no monitors")


def test_headline_shows_that_the_history_is_not_written() -> None:
    lines = headline(
        {
            "version": "1",
            "state": "running",
            "uptime_s": 1.0,
            "monitors": {"total": 1, "up": 1},
            "history": {"error": "database or disk is full", "failing_since": "2026-01-01T01:02:03.000Z"},
            "reload": {"status": "applied"},
        }
    )
    assert lines[1:] == [
        "history has not been written since 2026-01-01 01:02:03 UTC: database or disk is full; checks continue"
    ]


def test_long_name_is_shortened_before_the_result() -> None:
    name = "web-01.a-name-from-an-inventory.example.org"
    lines = table(
        ("STATE", "MONITOR", "RESULT"), [("up", name, "r" * 50)], max_columns=60, colour=False, yielding=1
    )
    assert lines[1] == "up     web-01.a-name-f…ory.example.org  rrrrrrrrrrrrrrrrrrr…"
    whole = table(("STATE", "MONITOR", "RESULT"), [("up", name, "r" * 50)], max_columns=60, colour=False)
    assert name in whole[1]


SUBJECT = "GET https://www.example.org/a/long/path/of/a/health/check"
DOWN = {
    "name": "a",
    "type": "http",
    "state": "down",
    "soft_failures": 0,
    "last_result": {
        "verdict": "fail",
        "reason": "condition_failed",
        "detail": f"{SUBJECT} 503, 12 bytes, 0.067 s",
        "subject": SUBJECT,
        "outcome": "HTTP 503",
        "fields": {"response_time": 0.067},
        "started_at": "2026-01-01T00:00:00Z",
    },
    "acknowledged_by": None,
    "maintenance_window": None,
    "silenced_until": None,
    "is_flapping": False,
}
RESULT = f"HTTP 503, 67.0 ms ({SUBJECT})"


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_url_is_truncated_before_the_outcome(columns: int) -> None:
    changed: tuple[dict[str, str], ...] = (
        {"name": "shop-frontend.eu-central.example.org"},
        {"state": "unreachable"},
        {},
    )
    lines = monitor_rows([{**DOWN, **change} for change in changed], max_columns=columns, colour=False)
    assert max(map(len, lines)) <= columns
    assert all("HTTP 503" in line for line in lines[1:])
    assert "MONITOR" in lines[0]


def test_nothing_is_truncated_without_a_terminal() -> None:
    name = "web-01.a-name-from-an-inventory.with-more-labels.eu-central.example.org"
    row = monitor_rows([{**DOWN, "name": name}], max_columns=None, colour=False)[1]
    assert row.split()[1] == name
    assert row.endswith(RESULT)


def test_response_time_is_beside_the_response_and_before_the_unmet_condition() -> None:
    last = {**DOWN["last_result"], "note": "not met: status == 200 (actual: 503)"}  # type: ignore[dict-item] # a row as JSON
    row = monitor_rows([{**DOWN, "last_result": last}], max_columns=None, colour=False)[1]
    assert row.endswith(f"HTTP 503, 67.0 ms; not met: status == 200 (actual: 503) ({SUBJECT})")


def test_inconclusive_result_begins_with_its_reason() -> None:
    last = {**DOWN["last_result"], "verdict": "inconclusive", "reason": "prober_suspended"}  # type: ignore[dict-item] # a row as JSON
    row = monitor_rows([{**DOWN, "last_result": last}], max_columns=80, colour=False)[1]
    assert "prober_suspended: HTTP 503" in row


@pytest.mark.parametrize("name", ["監視サーバー", "cafe\u0301-web", "shop"])
def test_columns_are_aligned_by_terminal_cells(name: str) -> None:
    rows = [("up", name, "x"), ("down", "a-plain-name", "y")]
    lines = table(("STATE", "MONITOR", "RESULT"), rows, max_columns=None, colour=False)
    assert cells(lines[1].rpartition("x")[0]) == cells(lines[2].rpartition("y")[0])


@pytest.mark.parametrize(
    ("noted", "note"),
    [
        ({"acknowledged_by": "kim (uid 1000)"}, "[acknowledged]"),
        ({"maintenance_window": "upgrade", "is_flapping": True}, "[maintenance, flapping]"),
        ({"silenced_until": "2026-01-01T00:00:00.000Z"}, "[silenced]"),
    ],
)
def test_conditions_beside_the_state_precede_the_outcome(noted: dict[str, Any], note: str) -> None:
    head, row = monitor_rows([{**DOWN, **noted}], max_columns=200, colour=False)
    assert row.endswith(f"{note} {RESULT}")
    assert head.index("RESULT") == row.index(note)
    assert note in monitor_rows([{**DOWN, **noted}], max_columns=60, colour=False)[1]
    assert monitor_rows([{**DOWN, **noted, "last_result": None}], max_columns=80, colour=False)[1].endswith(
        note
    )


NOTED = {
    "acknowledged_by": "kim (uid 1000)",
    "maintenance_window": "upgrade",
    "silenced_until": "2026-01-01T00:00:00.000Z",
    "is_flapping": True,
}


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("count", range(len(NOTED) + 1))
def test_notes_do_not_displace_the_outcome_on_a_terminal(columns: int, count: int) -> None:
    noted = dict(list(NOTED.items())[:count])
    changed: tuple[dict[str, Any], ...] = (
        {"name": "shop-frontend.eu-central.example.org", **noted},
        {"state": "unreachable", **noted},
        {},
    )
    lines = monitor_rows([{**DOWN, **change} for change in changed], max_columns=columns, colour=False)
    assert max(map(len, lines)) <= columns
    assert all("HTTP 503" in line for line in lines[1:])


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("acknowledge", "did you mean ack?"),
        ("stat", "did you mean status?"),
        ("statsu", "did you mean status?"),
        ("silense", "did you mean silence?"),
        ("frobnicate", "monitorctl --help lists them"),
        ("", "monitorctl --help lists them"),
    ],
)
def test_unknown_command_is_reported_with_the_nearest(
    capsys: pytest.CaptureFixture[str], word: str, hint: str
) -> None:
    with pytest.raises(SystemExit) as exit_of:
        main([word])
    assert exit_of.value.code == 64
    assert capsys.readouterr().err.endswith(f"monitorctl: {word!r} is not a command; {hint}\n")


@pytest.mark.parametrize(
    ("words", "program"),
    [(["history", "good", "--csv"], "monitorctl history"), (["--csv", "status"], "monitorctl")],
    ids=["after the command", "before the command"],
)
def test_unrecognized_argument_is_reported_with_the_usage_of_its_command(
    capsys: pytest.CaptureFixture[str], words: list[str], program: str
) -> None:
    with pytest.raises(SystemExit) as exit_of:
        main(words)
    assert exit_of.value.code == 64
    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: {program} [-h]")
    assert printed.endswith(f"{program}: unrecognized arguments: --csv\n")


async def test_unconfirmed_failure_has_a_question_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "bad", "check")
        assert await ctl(at.path, "status") == 0
    assert "pending?  bad" in capsys.readouterr().out


async def test_json_of_status_is_the_response_of_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "status", "--json") == 0
        document = json.loads(capsys.readouterr().out)
    assert document["status"]["version"] == __version__
    assert {monitor["name"] for monitor in document["monitors"]} == {"good", "bad", "a.b-c_d"}


async def test_status_shows_a_rejected_reload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with endpoint(tmp_path, outcome=REFUSED) as at:
        assert await ctl(at.path, "reload") == 1
        assert "monitord.toml:1: bad" in capsys.readouterr().err
        await ctl(at.path, "status")
    assert " was rejected; the previous configuration stays active:" in capsys.readouterr().out


@pytest.mark.parametrize(("outcome", "exit_status"), [(ACCEPTED, 0), (REFUSED, 1)])
async def test_quiet_reload_reports_by_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: ReloadOutcome, exit_status: int
) -> None:
    """For systemctl reload: the daemon has logged each failure already."""
    async with endpoint(tmp_path, outcome=outcome) as at:
        assert await ctl(at.path, "reload", "--quiet") == exit_status
    assert capsys.readouterr() == ("", "")


async def test_accepted_reload_prints_its_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "reload") == 0
    assert capsys.readouterr().out == "reloaded: 1 added, 2 unchanged\n"


async def test_reload_prints_the_warnings_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warned = replace(
        ACCEPTED, warnings=("monitord.toml:2: monitors.a.command: warning: it is missing\x1b[31m",)
    )
    async with endpoint(tmp_path, outcome=warned) as at:
        assert await ctl(at.path, "reload") == 0
    printed = capsys.readouterr()
    assert printed.out == "reloaded: 1 added, 2 unchanged\n"
    assert printed.err.startswith("monitord.toml:2: monitors.a.command: warning: it is missing")
    assert "\x1b" not in printed.err


@pytest.mark.parametrize(
    ("name", "exit_status", "says"), [("good", 0, "good: pass"), ("bad", 2, "bad: fail (refused)")]
)
async def test_check_prints_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, exit_status: int, says: str
) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "check", name) == exit_status
        assert capsys.readouterr().out.startswith(says)
        assert await ctl(at.path, "check", name, "--json") == exit_status
        assert json.loads(capsys.readouterr().out)["name"] == name


async def test_unknown_monitor_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with endpoint(tmp_path) as at:
        assert await ctl(at.path, "check", "nobody") == 1
    assert "no monitor has the name 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("there_is", ["nothing", "a_dead_socket", "something_else"])
def test_missing_daemon_ends_with_3_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there_is: str
) -> None:
    path = tmp_path / "status.sock"
    if there_is == "a_dead_socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif there_is == "something_else":
        path.write_text("")
    assert main(["--socket", str(path), "status"]) == 3
    printed = capsys.readouterr().err
    reason = "No such file or directory" if there_is == "nothing" else "Connection refused"
    assert printed == (
        f"monitorctl: {path}: {reason}; correct --socket, or start the daemon that creates this socket\n"
    )


def test_stopped_service_has_the_command_that_starts_it() -> None:
    error = _unreachable(DaemonAddress(SYSTEM_SOCKET), FileNotFoundError(2, "No such file or directory"))
    assert str(error) == (
        "/run/monitord/status.sock: monitord is not running (No such file or directory); "
        "run: systemctl start monitord"
    )


async def test_socket_of_another_protocol_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(talk, tmp_path / "s"):
        assert await ctl(tmp_path / "s", "status") == 1
    assert "is not HTTP" in capsys.readouterr().err


OTHERS = [
    pytest.param("200 OK", "text/html", "<html>\x1b[2J</html>", id="a_page"),
    pytest.param("404 Not Found", "text/html", "<html>\x1b[2J</html>", id="a_page_that_is_not_there"),
    pytest.param("302 Found", "text/html", "<html>elsewhere</html>", id="a_redirect"),
    pytest.param("200 OK", "application/json", "[]", id="another_api"),
    pytest.param("500 Oops", "application/json", "[]", id="an_error_of_another_api"),
    pytest.param("200 OK", "application/json", "{", id="no_json"),
    pytest.param("200 OK", "application/json", "\xff", id="no_text"),
]


@pytest.mark.parametrize(("status", "kind", "body"), OTHERS)
async def test_http_server_that_is_not_monitord_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, kind: str, body: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode("latin-1"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(talk, tmp_path / "s"):
        assert await ctl(tmp_path / "s", "status", "--json") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"monitorctl: {tmp_path / 's'}: the response ({status}) is not from monitord; "
        "check that this is the address of monitord\n"
    )


async def test_control_characters_of_a_response_are_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "one\n\x1b[2Jtwo\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 503 No\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(talk, tmp_path / "s"):
        assert await ctl(tmp_path / "s", "status") == 1
    assert capsys.readouterr().err == "monitorctl: one\n [2Jtwo\n"


@pytest.mark.parametrize(
    "arguments",
    [["show", "\udcff"], ["status", "\udcff"], ["silence", "\udcff", "--for", "1h"], ["pause", "good", "-c", "\udcff"]],
    ids=" ".join,
)  # fmt: skip
async def test_bytes_that_are_not_text_are_an_error_without_traceback(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Python has what it cannot decode of a command line as half characters."""
    async with endpoint(tmp_path) as at:
        done = await asyncio.to_thread(command, "--socket", str(at.path), *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("monitorctl: ")
    assert done.stderr.count("\n") == 1


async def test_missing_permission_is_reported_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = "only root and members of the daemon's group may do this"
    body = json.dumps({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail})
    answer = (
        f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}"
    )

    async def respond_forbidden(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{answer}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(respond_forbidden, tmp_path / "s"):
        assert await ctl(tmp_path / "s", "reload") == 1
    assert capsys.readouterr().err == f"monitorctl: {detail}; {_ACCESS_HINT}\n"


async def test_incomplete_response_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def close_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n')
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(close_early, tmp_path / "s"):
        assert await ctl(tmp_path / "s", "history", "export", "good") == 1
    printed = capsys.readouterr()
    assert printed.out == '{"a"'
    assert "the response is incomplete" in printed.err


def test_socket_without_permission_names_the_group() -> None:
    error = _unreachable(DaemonAddress(Path("/run/s")), PermissionError(13, "Permission denied"))
    assert "run as root: adduser USER monitord, and log in again" in str(error)


def test_version_works_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", str(tmp_path / "none"), "version"]) == 0
    assert f"monitorctl {__version__}" in capsys.readouterr().out


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitord.cli", *arguments],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip


async def test_write_error_is_reported(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        for sink, status, printed in (
            ("/dev/full", 1, "monitorctl: cannot write the output: No space left on device\n"),
            ("&-", 0, ""),
        ):
            done = await asyncio.to_thread(
                subprocess.run,
                ["sh", "-c", f'exec "$@" >{sink}', "sh", sys.executable, "-m", "monitord.cli",
                 "--socket", str(at.path), "status"],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (status, printed)


WATCHED = ["status", "--watch", "--json"]


def test_usage_error_ends_with_64() -> None:
    for arguments in ([], ["nonsense"], ["status", "--nonsense"], ["check"], ["top", "-n", "0"], WATCHED):
        done = command(*arguments)
        assert done.returncode == 64
        assert "usage:" in done.stderr


def test_check_config_reports_the_errors_of_the_daemon(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text('[monitors.a]\nurl = "http://localhost/"\ncheck_every = "5 min"\n')
    done = command("check-config", str(config))
    assert done.returncode == 1
    assert f'{config}:3: monitors.a.check_every: "5 min" is not a duration; write "5m"' in done.stdout
    config.write_text('[monitors.a]\nurl = "http://localhost/"\ncheck_every = "5m"\n')
    done = command("check-config", str(config))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{config}: valid; 1 monitor")


def test_check_config_needs_no_secrets(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(
        '[monitors.a]\nurl = "http://localhost/"\nheaders = { X-Key = { credential = "key" } }\n'
    )
    assert command("check-config", str(config)).returncode == 0


def test_monitorctl_imports_little() -> None:
    script = (
        "import sys, monitord.cli.control_command; "
        "print([name for name in ('aiohttp', 'asyncio', 'ssl', 'httptools', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout in {"[]\n", "['ssl']\n"}, (
        "http.client brings ssl where it is there; nothing else may come"
    )
