"""`monitorctl events`: stored events, new events, and the reconnection to a daemon that was restarted."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.cli.client.events import EventStreamParser, ReceivedEvent
from monitord.web import Server
from tests.cli.running_daemon import RunningDaemon, running_daemon
from tests.endpoint import StatusWorld, make_world
from tests.fakes import monitor_settings
from tests.history.world import until

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 60.0

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_parsed_from_pieces_of_any_size(size: int) -> None:
    stream = (
        b"retry: 1500\nid: a-1\n\n: \n\nid: a-2\nevent: transition\n"
        b'data: {"x":\ndata: 1}\n\nid: a-3\nevent: gap\ndata: []\n\n'
    )
    parser = EventStreamParser()
    found = [
        event for begin in range(0, len(stream), size) for event in parser.feed(stream[begin : begin + size])
    ]
    assert found == [ReceivedEvent("transition", "a-2", {"x": 1}), ReceivedEvent("gap", "a-3", [])]
    assert (parser.last_id, parser.retry_s) == ("a-3", 1.5)


def test_incomplete_event_is_discarded_with_its_connection() -> None:
    parser = EventStreamParser()
    assert list(parser.feed(b'id: a-1\nevent: x\ndata: {"half": ')) == []
    parser.reset()
    assert list(parser.feed(b"id: a-2\nevent: y\ndata: 1\n\n")) == [ReceivedEvent("y", "a-2", 1)]


async def test_removed_acknowledgement_is_an_event_with_its_time(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        entry = daemon.world.dispatcher.entries["bad"]
        for _ in range(2):
            await daemon.ctl("check", "bad")
        assert entry.state.incident is not None
        live = daemon.world.live_events.on_incident
        live(
            entry,
            replace(
                entry.state.incident,
                acknowledged_by="kim",
                acknowledged_at=entry.state.incident.opened_at,
            ),
        )
        live(entry, entry.state.incident)
        capsys.readouterr()
        assert await daemon.ctl("events", "bad") == 0
        line = capsys.readouterr().out.splitlines()[-1]
    removed = f"bad: acknowledgement removed, incident {entry.state.incident.id}"
    pattern = rf"2026-01-01 \d\d:\d\d:\d\d  incident    {removed}"
    assert re.fullmatch(pattern, line)


async def test_events_of_more_monitors_than_fit_in_a_request(tmp_path: Path, capsys: Capture) -> None:
    more = [monitor_settings(f"m{number}", tags=("many",)) for number in range(120)]
    world = make_world(more=more)
    path = tmp_path / "status.sock"
    try:
        async with Server(world.status_application, path=path):
            for name in ("good", "m7"):
                await world.dispatcher.check_now(name)
            daemon = RunningDaemon(world, path)
            assert await daemon.ctl("events", "--tag", "many") == 0
    finally:
        await world.close()
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("TIME (UTC)")
    assert [line.split()[3] for line in lines] == ["m7:"]


async def test_stored_events_are_printed_and_the_command_ends(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        for name in ("good", "bad", "bad"):
            await daemon.ctl("check", name)
        capsys.readouterr()
        assert await daemon.ctl("events") == 0
        head, *lines = capsys.readouterr().out.splitlines()
        assert await daemon.ctl("events", "--results", "--json", "bad") == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert head.split() == ["TIME", "(UTC)", "EVENT", "DESCRIPTION"]
    kinds = [line.split()[2:6] for line in lines]
    assert kinds[0] == ["transition", "good:", "pending", "->"]
    assert ["incident", "bad:", "opened,", "looked"] in kinds
    assert all(re.match(r"2026-01-01 \d\d:\d\d:\d\d  ", line) for line in lines)
    assert [event["event"] for event in events].count("result") == 2
    assert {event["data"]["monitor"] for event in events if event["event"] != "gap"} == {"bad"}


async def test_stored_events_end_although_new_ones_arrive(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:

        async def check_on() -> None:
            while True:
                await daemon.world.dispatcher.check_now("good")
                await asyncio.sleep(0.05)

        checking = asyncio.create_task(check_on())
        try:
            async with asyncio.timeout(DEADLINE_S / 4):
                assert await daemon.ctl("events", "--results") == 0
        finally:
            checking.cancel()
            await asyncio.wait([checking])
    assert "good: " in capsys.readouterr().out


class FollowProcess:
    """`monitorctl events -f` as a process, read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        return await self._read(self._process.stdout)

    async def error(self) -> str:
        return await self._read(self._process.stderr)

    async def _read(self, stream: asyncio.StreamReader | None) -> str:
        assert stream is not None
        async with asyncio.timeout(DEADLINE_S):
            return (await stream.readline()).decode()


@asynccontextmanager
async def following(path: Path, *arguments: str) -> AsyncIterator[FollowProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitord.cli", "--socket", str(path), "events", "-f", *arguments,
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield FollowProcess(process)
    finally:
        process.kill()
        await process.communicate()


async def until_a_client_follows(world: StatusWorld) -> None:
    await until(lambda: world.live_events.clients > 0, "a client follows")


async def test_new_events_are_printed_when_they_arrive(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, following(daemon.path, "--results", "good") as followed:
        await until_a_client_follows(daemon.world)
        for name in ("bad", "good"):
            await daemon.world.dispatcher.check_now(name)
        assert re.match(r"\d\d:\d\d:\d\d  (result|transition)  +good: ", await followed.line())


async def test_follow_continues_after_a_lost_connection(tmp_path: Path) -> None:
    world, path = make_world(), tmp_path / "s"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.dispatcher.close, 0.0)
        async with Server(world.status_application, path=path, grace_s=0.1):
            followed = await stack.enter_async_context(following(path))
            await until_a_client_follows(world)
            await world.dispatcher.check_now("good")
            assert "good: pending -> up" in await followed.line()
        assert "reconnecting" in await followed.error()
        for _ in range(2):
            await world.dispatcher.check_now("bad")
        async with Server(world.status_application, path=path, grace_s=0.1):
            lines = [await followed.line(), await followed.line()]
    assert any("bad: pending -> down (refused)" in line for line in lines)


async def test_restart_of_the_daemon_reports_a_gap(tmp_path: Path) -> None:
    first, second, path = make_world(), make_world(), tmp_path / "s"
    second.live_events._run = "other"
    async with AsyncExitStack() as stack:
        for world in (first, second):
            stack.push_async_callback(world.dispatcher.close, 0.0)
        async with Server(first.status_application, path=path, grace_s=0.1):
            followed = await stack.enter_async_context(following(path))
            await until_a_client_follows(first)
        assert "reconnecting" in await followed.error()
        async with Server(second.status_application, path=path, grace_s=0.1):
            assert await followed.error() == "monitorctl: some events are missing here\n"


def test_follow_without_a_daemon_ends_with_3(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitord.cli", "--socket", str(tmp_path / "none"), "events", "-f"],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "none: No such file or directory; correct --socket" in done.stderr
