"""Candidates for the next word: of `monitorctl complete`, and in bash, zsh and fish."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.cli.client.connection import Client
from monitord.cli.command_line import command_parser
from monitord.cli.commands import COMMANDS
from monitord.cli.commands.complete import complete_line
from monitord.cli.probe import keys_of_target
from monitord.cli.probe_options import SCHEMES, TYPES
from monitord.model import PostStatus
from monitord.monitors import MONITOR_TYPES
from monitord.web import Server
from tests.cli.shells import ROOT, Shells
from tests.endpoint import endpoint, make_world


async def completed(path: Path, *words: str) -> list[str]:
    """The words only; `path`: of the socket."""
    lines = await asyncio.to_thread(complete_line, ["--socket", str(path), *words], COMMANDS)
    return [line.partition("\t")[0] for line in lines]


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (["expl"], ["explain"]),
        (["--s"], ["--socket"]),
        (["--token-file", ""], [":files"]),
        (["nonsense", ""], []),
        (["show", ""], ["a.b-c_d", "bad", "good"]),
        (["show", "g"], ["good"]),
        (["show", "A"], []),
        (["show", "good", ""], ["a.b-c_d", "bad", "good"]),
        (["una"], ["unack"]),
        (["unack", "b"], ["bad"]),
        (["ack", "good", "--tag", ""], ["prod"]),
        (["pause", "--t"], ["--tag"]),
        (["heartbeat", "good", ""], []),
        (["status", "good", ""], ["a.b-c_d", "bad", "good"]),
        (["status", "--tag", ""], ["prod"]),
        (["status", "--type", ""], ["fake"]),
        (["status", "--state", "un"], ["unreachable", "unknown"]),
        (["status", "--w"], ["--watch"]),
        (["history", "e"], ["export"]),
        (["cluster", ""], ["init", "remove"]),
        (["cluster", "init", "--config", ""], [":files toml"]),
        (["history", "export", "b"], ["bad"]),
        (["history", "good", "--format", ""], ["csv", "jsonl"]),
        (["history", "--since", ""], []),
        (["silence", "--for", "2h", "a"], ["a.b-c_d"]),
        (["check-config", ""], [":files toml"]),
        (["what-if", "--c"], ["--config", "--current"]),
        (["what-if", "--config", ""], [":files toml"]),
        (["what-if", "--history", ""], [":files"]),
        (["import", "g"], ["gatus"]),
        (["import", ""], ["uptime-kuma", "gatus", "blackbox", "monit", "uptimerobot"]),
        (["import", "x"], [":files"]),
        (["import", "gatus", ""], [":files"]),
        (["import", "--force", "m"], ["monit"]),
        (["import", "--output", ""], [":files"]),
        (["probe", "--type", "t"], ["tcp", "tls"]),
        (["probe", "t"], ["tcp://", "tls://"]),
        (["probe", "--up"], ["--up-when"]),
        (["heartbeat", "--exit-status", "1", "go"], ["good"]),
        (["unsilence", ""], []),
    ],
)
async def test_candidates_match_the_next_word(
    tmp_path: Path, words: list[str], candidates: list[str]
) -> None:
    async with endpoint(tmp_path) as at:
        assert await completed(at.path, *words) == candidates


async def test_silences_are_completed_by_id(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        client = Client(at.path)
        body = {"names": ["good"], "duration_s": 3600, "comment": "moving house"}
        await asyncio.to_thread(client.post, "/api/v1/silences", body)
        lines = await asyncio.to_thread(complete_line, ["--socket", str(at.path), "unsilence", ""], COMMANDS)
    assert lines == ["s0\tmoving house"]


async def test_pages_and_posts_are_completed(tmp_path: Path) -> None:
    world = make_world()
    world.posts.apply(["main", "eu"])
    post = world.posts.create("main", "Slow\tcheckout", PostStatus.INVESTIGATING, "a", "kim")
    path = tmp_path / "status.sock"
    async with Server(world.status_application, path=path):
        assert await completed(path, "post", "") == ["eu", "main"]
        assert await completed(path, "posts", "m") == ["main"]
        assert await completed(path, "post", "main", "--status", "") == list(PostStatus)
        assert await completed(path, "post", "main", "--update", "") == [post.id]
        for command in ("edit-post", "delete-post"):
            words = ["--socket", str(path), command, ""]
            lines = await asyncio.to_thread(complete_line, words, COMMANDS)
            assert lines == [f"{post.id}\tSlow checkout"]
        assert await completed(path, "edit-post", post.id, "") == []
    await world.close()


@pytest.mark.parametrize("words", [["show", ""], ["unsilence", ""], ["post", ""], ["status", "--tag", ""]])
def test_no_candidates_and_no_error_without_a_daemon(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitord.cli", "complete", "--", "--socket", str(tmp_path / "none"), *words],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_hanging_daemon_does_not_delay_the_completion(tmp_path: Path) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(hang, tmp_path / "s")
    try:
        assert await completed(tmp_path / "s", "show", "") == []
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])


def test_every_command_and_option_is_completed() -> None:
    lines = {line.partition("\t")[0] for line in complete_line([""], COMMANDS)}
    assert lines == {command.name for command in COMMANDS}
    for command in COMMANDS:
        offered = {line.partition("\t")[0] for line in complete_line([command.name, "-"], COMMANDS)}
        shown = command_parser(command).format_help()
        assert offered
        assert all(option in shown for option in offered)


def test_completed_targets_are_accepted_by_probe() -> None:
    for scheme in SCHEMES:
        kind = keys_of_target(f"{scheme}host.test:1" if scheme != "exec:" else "exec:/bin/true")["type"]
        assert kind in TYPES
    assert set(TYPES) <= set(MONITOR_TYPES)


# In the shells themselves


async def asked(tmp_path: Path, ask: Callable[[Shells], object]) -> object:
    folder = tmp_path / "bin"
    await asyncio.to_thread(folder.mkdir)
    async with endpoint(tmp_path) as at:
        return await asyncio.to_thread(ask, Shells(folder, at.path))


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("monitorctl exp", ["explain", "export-page"]),
        ("monitorctl show ", ["a.b-c_d", "bad", "good"]),
        ("monitorctl history --fo", ["--format"]),
        ("monitorctl nonsense ", []),
        ("monitorctl import g", ["gatus"]),
        ("monitorctl probe t", ["tcp://", "tls://"]),
        # For bash a colon ends a word: the text before it is not repeated.
        ("monitorctl probe tcp:", ["//"]),
        ("monitord --ch", ["--check-config"]),
    ],
)
async def test_bash_completes_words(tmp_path: Path, line: str, candidates: list[str]) -> None:
    assert await asked(tmp_path, lambda shells: shells.bash(line)) == candidates


async def test_bash_completes_files(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "new.toml").write_text("")
    shells = Shells(tmp_path / "bin", tmp_path / "none")
    assert await asyncio.to_thread(shells.bash, "monitorctl check-config n") == ["new.toml"]


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("monitorctl expl", {"explain": "Explain the state of monitors and their notifications"}),
        ("monitorctl show g", {"good": "pending"}),
        ("monitorctl history --format c", {"csv": ""}),
        ("monitorctl import m", {"monit": ""}),
        ("monitorctl nonsense ", {}),
        ("monitorctl probe tc", {"tcp://": ""}),
        ("monitord --ch", {"--check-config": "Check the configuration and exit"}),
    ],
)
async def test_fish_completes_words_with_descriptions(
    tmp_path: Path, line: str, candidates: dict[str, str]
) -> None:
    assert await asked(tmp_path, lambda shells: shells.fish(line)) == candidates


async def test_fish_completes_files(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "new.toml").write_text("")
    shells = Shells(tmp_path / "bin", tmp_path / "none")
    assert "new.toml" in await asyncio.to_thread(shells.fish, "monitorctl check-config n")


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("monitorctl expl", "monitorctl explain "),
        ("monitorctl show g", "monitorctl show good "),
        ("monitorctl history --fo", "monitorctl history --format "),
        ("monitorctl show a", "monitorctl show a.b-c_d "),
        ("monitorctl nonsense x", "monitorctl nonsense x"),
        ("monitorctl import up", "monitorctl import uptime"),
        ("monitorctl probe tc", "monitorctl probe tcp://"),
        ("monitord --ch", "monitord --check-config "),
    ],
)
async def test_zsh_completes_words(tmp_path: Path, line: str, then: str) -> None:
    assert await asked(tmp_path, lambda shells: shells.zsh(line)) == then
