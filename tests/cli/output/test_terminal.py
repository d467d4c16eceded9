"""Full screens: what is shown, by which keys they end, and that the terminal is as before however they end."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminals import Terminal
from tests.endpoint import endpoint

FULL, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
CURSOR = "\x1b[?25h"

VIEWS = [["top", "--every", "50ms"], ["status", "--watch", "--every", "50ms"]]


def is_restored(terminal: Terminal) -> bool:
    shown = terminal.printed
    return (
        terminal.settings() == terminal.before
        and shown.count(FULL) == shown.count(NORMAL)
        and shown.rindex(NORMAL) > shown.rindex(FULL)
        and shown.rindex(CURSOR) > shown.rindex(FULL)
    )


async def on_a_terminal(tmp_path: Path, arguments: list[str], play: Callable[[Terminal], None]) -> None:
    async with endpoint(tmp_path) as at:

        def whole() -> None:
            with Terminal("--socket", str(at.path), *arguments) as terminal:
                terminal.wait_for("a.b-c_d", times=2)
                assert terminal.settings() != terminal.before
                play(terminal)
                assert is_restored(terminal)

        await asyncio.to_thread(whole)


@pytest.mark.parametrize("view", VIEWS, ids=["top", "status"])
async def test_q_quits(tmp_path: Path, view: list[str]) -> None:
    def play(terminal: Terminal) -> None:
        terminal.press("q")
        assert terminal.end() == 0
        assert "STATE" in terminal.printed

    await on_a_terminal(tmp_path, view, play)


@pytest.mark.parametrize("view", VIEWS, ids=["top", "status"])
async def test_ctrl_c_quits_without_traceback(tmp_path: Path, view: list[str]) -> None:
    def play(terminal: Terminal) -> None:
        terminal.press("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.printed

    await on_a_terminal(tmp_path, view, play)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_signal_restores_the_terminal(tmp_path: Path, number: signal.Signals) -> None:
    def play(terminal: Terminal) -> None:
        terminal.send(number)
        assert terminal.end() == 143

    await on_a_terminal(tmp_path, VIEWS[0], play)


async def test_ctrl_z_restores_the_terminal_until_fg(tmp_path: Path) -> None:
    def play(terminal: Terminal) -> None:
        terminal.press("\x1a")
        terminal.wait_for_state("T")
        terminal.wait_for(NORMAL)
        assert is_restored(terminal)
        terminal.send(signal.SIGCONT)
        terminal.wait_for(FULL, times=2)
        seen = terminal.printed.count("a.b-c_d")
        terminal.wait_for("a.b-c_d", times=seen + 1)
        assert terminal.settings() != terminal.before
        terminal.press("q")
        assert terminal.end() == 0

    await on_a_terminal(tmp_path, VIEWS[0], play)


async def test_view_continues_after_a_restart_of_the_daemon(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        terminal = Terminal("--socket", str(at.path), "top", "--every", "50ms")
        await asyncio.to_thread(terminal.wait_for, "a.b-c_d")

    def whole() -> None:
        with terminal:
            terminal.wait_for("No such file or directory")
            terminal.press("q")
            assert terminal.end() == 0
            assert is_restored(terminal)

    await asyncio.to_thread(whole)


def test_missing_daemon_ends_with_3_and_restores_the_terminal(tmp_path: Path) -> None:
    with Terminal("--socket", str(tmp_path / "none"), "top") as terminal:
        assert terminal.end() == 3
        assert is_restored(terminal)
        assert "No such file or directory" in terminal.printed


@pytest.mark.parametrize("view", VIEWS, ids=["top", "status"])
async def test_closed_pipe_ends_without_error(tmp_path: Path, view: list[str]) -> None:
    async with endpoint(tmp_path) as at:

        def whole() -> None:
            reading, writing = os.pipe()
            os.close(reading)
            with Terminal("--socket", str(at.path), *view, output=writing) as terminal:
                os.close(writing)
                assert terminal.end() == 0
                assert terminal.settings() == terminal.before
                assert terminal.process.stderr is not None
                assert terminal.process.stderr.read() == b""

        await asyncio.to_thread(whole)


@pytest.mark.parametrize("view", VIEWS, ids=["top", "status"])
async def test_dumb_terminal_shows_views_below_each_other(tmp_path: Path, view: list[str]) -> None:
    async with endpoint(tmp_path) as at:

        def whole() -> None:
            with Terminal("--socket", str(at.path), *view, TERM="dumb") as terminal:
                terminal.wait_for("a.b-c_d", times=3)
                terminal.press("\x03")
                assert terminal.end() == 130
                assert "\x1b" not in terminal.printed
                assert terminal.settings() == terminal.before

        await asyncio.to_thread(whole)


async def test_top_fits_80_columns(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "bad", "check")
        await at.post("monitors", "bad", "check")

        def whole() -> str:
            with Terminal(
                "--socket", str(at.path), "top", "-n", "2", "--every", "10ms", NO_COLOR="1"
            ) as terminal:
                assert terminal.end() == 0
                return terminal.printed

        printed = await asyncio.to_thread(whole)
    last = printed.rpartition("\x1b[H")[2].partition("\x1b[J")[0].replace("\x1b[K", "")
    lines = last.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("checks: 0.0/s, 0 running, 0 queued, 0 skipped")
    assert lines[2].startswith("lateness: p50 ")
    assert lines[3].startswith("history: 0 queued, 0 dropped")
    rows = lines[lines.index("") + 2 :]
    assert [row.split()[:2] for row in rows] == [["down", "bad"], ["pending", "a.b-c_d"], ["pending", "good"]]


async def test_top_shows_the_worst_monitors_that_fit(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "good", "check")
        await at.post("monitors", "bad", "check")
        await at.post("monitors", "bad", "check")

        def whole() -> str:
            with Terminal(
                "--socket", str(at.path), "top", "-n", "1", NO_COLOR="1", LINES="8", COLUMNS="60"
            ) as terminal:
                assert terminal.end() == 0
                return terminal.printed

        printed = await asyncio.to_thread(whole)
    assert "bad" in printed
    assert "good" not in printed
    assert printed.partition("\x1b[J")[0].count("\n") < 8


async def test_long_line_does_not_scroll_the_screen(tmp_path: Path) -> None:
    """The terminal cuts lines off while the screen is ours: wide letters and narrow windows need no other care."""

    def play(terminal: Terminal) -> None:
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.printed.index("\x1b[?7l") < terminal.printed.index("STATE")
        assert terminal.printed.rindex("\x1b[?7h") > terminal.printed.rindex("STATE")

    await on_a_terminal(tmp_path, VIEWS[1], play)


@pytest.mark.parametrize("arguments", [["top", "-n", "2"], ["status", "--watch"]], ids=" ".join)
async def test_view_continues_after_an_incomplete_response(tmp_path: Path, arguments: list[str]) -> None:
    """Such a response is received when the daemon is restarted while it sends one."""
    async with endpoint(tmp_path) as at:
        answers = [json.dumps(await at.get("api", "v1", name)) for name in ("status", "monitors")]
    if arguments[0] == "status":
        answers.append(json.dumps({"monitors": []}))  # of the other hosts of a cluster

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = answers.pop(0) if answers else "{"
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(f"{head}{max(len(body), 2)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def whole() -> None:
        with Terminal("--socket", str(tmp_path / "s"), *arguments, "--every", "1ms") as terminal:
            terminal.wait_for("the response is incomplete")
            terminal.press("q")
            assert terminal.end() == 0

    async with await asyncio.start_unix_server(answer, tmp_path / "s"):
        await asyncio.to_thread(whole)


async def test_top_prints_the_given_number_of_views_in_a_pipe(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:

        def whole() -> subprocess.CompletedProcess[bytes]:
            with Terminal(
                "--socket", str(at.path), "top", "-n", "3", "--every", "1ms", output=subprocess.PIPE
            ) as terminal:
                out, err = terminal.process.communicate()
                return subprocess.CompletedProcess([], terminal.process.returncode, out, err)

        done = await asyncio.to_thread(whole)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"checks: ") == 3
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize("columns", [40, 80])
async def test_table_fits_the_width_in_columns(tmp_path: Path, columns: int) -> None:
    async with endpoint(tmp_path) as at:
        await at.post("monitors", "bad", "check")

        def whole() -> str:
            with Terminal("--socket", str(at.path), "status", COLUMNS=str(columns), NO_COLOR="1") as terminal:
                assert terminal.end() == 0
                return terminal.printed

        head, *rows = (await asyncio.to_thread(whole)).split("\r\n\r\n")[1].splitlines()
    assert head.split()[-1] == "RESULT"
    assert max(map(len, [head, *rows])) <= columns
    assert any("looked" in row for row in rows)
