"""Discovery as the daemon runs it: files, a real HTTP server, a name server, and the monitors that follow."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.clock import SystemClock
from monitord.model import State
from monitord.sources import SourceStatus
from monitord.sources.discovery.dns import DnsDiscoveryOptions, DnsFetcher
from monitord.sources.discovery.file import FileFetcher, FileOptions
from monitord.sources.discovery.source import FetchError
from tests.buses import until
from tests.dns_servers import answering, response
from tests.fakes import FakeClock
from tests.servers import Peer, respond, serve
from tests.sources.fakes import fake_source_tools
from tests.worlds import World

MONITOR = """
refresh_every = "1s"
[discover.monitor]
type = "tcp"
address = "127.0.0.1:9"
check_every = "1h"
tags = ["at:{host}", "{labels.env}"]
"""


def of_files(directory: Path, more: str = "") -> str:
    return (
        f'[[discover]]\ntype = "file"\nname = "nodes:{{host}}"\nfiles = "{directory}/*.json"\n{more}{MONITOR}'
    )


class DiscoveringHost:
    """A daemon's parts that are configured by a file."""

    def __init__(self, config: Path, kept: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.world = World(config=config, kept=kept)
        self.world.start()
        self.world.control.apply_first()

    @property
    def names(self) -> set[str]:
        return set(self.world.dispatcher.entries)

    @property
    def status(self) -> SourceStatus:
        (status,) = self.world.sources.status()
        return status

    def tags(self, name: str) -> tuple[str, ...]:
        return self.world.dispatcher.entries[name].monitor.settings.tags

    async def has(self, *names: str) -> None:
        """Wait until these are the monitors of the source, and its targets are stored as well."""
        wanted = {f"nodes:{name}" for name in names}
        await until(lambda: self.names == wanted and not self.world.sources.is_updating)

    async def fails(self, problem: str) -> None:
        await until(lambda: problem in (self.status.problem or ""))

    @property
    def kept(self) -> Mapping[str, Mapping[str, Any]]:
        return json.loads(json.dumps(self.world.history.kept))  # type: ignore[no-any-return,attr-defined]

    async def close(self) -> None:
        await self.world.sources.close()
        await self.world.close()
        await self.world.containers.close()


@asynccontextmanager
async def running(
    config: Path, text: str, kept: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[DiscoveringHost]:
    write_text(config, text)
    host = DiscoveringHost(config, kept)
    try:
        yield host
    finally:
        await host.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "monitord.toml"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "targets"
    made.mkdir()
    return made


def write(file: Path, *groups: object) -> None:
    """Replace a file at once, as Prometheus recommends."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups))
    new.replace(file)


def write_text(file: Path, text: str) -> None:
    file.write_text(text)


def remove(directory: Path) -> None:
    shutil.rmtree(directory)


def group(*targets: str, **labels: str) -> object:
    return {"targets": list(targets), "labels": labels}


async def test_monitors_follow_files(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1", "b:1", env="prod"))
    async with running(config, of_files(directory)) as host:
        await host.has("a", "b")
        assert host.tags("nodes:a") == ("at:a", "prod")
        a = host.world.dispatcher.entries["nodes:a"]
        write(directory / "b.json", group("c:1"))
        write(directory / "a.json", group("a:1", env="prod"))
        await host.has("a", "c")
        assert host.world.dispatcher.entries["nodes:a"] is a
        (directory / "b.json").unlink()
        await host.has("a")


async def test_half_written_file_keeps_the_targets(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1"))
    async with running(config, of_files(directory)) as host:
        await host.has("a")
        (directory / "a.json").write_text('[{"targets": ["b:1"')
        await host.fails("a.json: is not valid JSON (line 1)")
        assert host.names == {"nodes:a"}
        write(directory / "a.json", group("b:1"))
        await host.has("b")
        assert host.status.problem is None


async def test_missing_file_and_directory_are_failures_and_a_pattern_may_match_nothing(
    config: Path, directory: Path
) -> None:
    write(directory / "a.json", group("a:1"))
    async with running(config, of_files(directory)) as host:
        await host.has("a")
        (directory / "a.json").unlink()
        await host.has()
        assert host.status.problem is None
        remove(directory)
        await host.fails("No such file or directory")
    text = of_files(directory).replace("*.json", "a.json")
    async with running(config, text) as host:
        await host.fails("a.json: No such file or directory")


async def test_yaml_is_read_without_aliases(config: Path, directory: Path) -> None:
    pytest.importorskip("yaml", reason="python3-yaml is not installed")
    file = directory / "a.yaml"
    file.write_text("- targets: [a:1, 'b:1']\n  labels: {env: prod}\n")
    async with running(config, of_files(directory).replace("*.json", "*.yaml")) as host:
        await host.has("a", "b")
        assert host.tags("nodes:b") == ("at:b", "prod")
        file.write_text("- &x {targets: [a:1]}\n- *x\n")
        await host.fails("contains a YAML alias")
        file.write_text("a: [")
        await host.fails("is not valid YAML (line")
        for wrong in ("!!bool x", '!!int ""', "!!timestamp x", "2026-99-99"):
            file.write_text(f"- targets: [{wrong}]")
            await host.fails("a.yaml: is not valid YAML")
            file.write_text("")
            await host.has()
        file.write_text("- targets: ['a:1']")
        await host.has("a")
        file.write_text("")
        await host.has()


async def test_targets_survive_a_restart_without_the_file(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1", env="prod"))
    async with running(config, of_files(directory)) as host:
        await host.has("a")
        kept = host.kept
    remove(directory)
    async with running(config, of_files(directory), kept) as host:
        assert host.names == {"nodes:a"}
        assert host.tags("nodes:a") == ("at:a", "prod")
        await host.fails("No such file or directory")
        assert host.names == {"nodes:a"}


async def test_target_that_disappears_is_removed_after_the_grace(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1", "b:1"))
    async with running(config, of_files(directory, 'remove_after = "10m"\n')) as host:
        await host.has("a", "b")
        write(directory / "a.json", group("a:1", "c:1"))
        await host.has("a", "b", "c")
        write(directory / "a.json", group("a:1", "b:1", "c:1"))
        await until(lambda: host.status.targets == 3)
        write(directory / "a.json", group("a:1", "c:1"))
    # The grace of another setting ends at once.
    async with running(config, of_files(directory), host.kept) as host:
        await host.has("a", "c")


async def test_grace_continues_after_a_restart(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1", "b:1"))
    text = of_files(directory, 'remove_after = "10m"\n')
    async with running(config, text) as host:
        await host.has("a", "b")
        write(directory / "a.json", group("a:1"))
        await until(lambda: "missing_since" in json.dumps(host.kept))
    async with running(config, text, host.kept) as host:
        await until(lambda: host.status.updated_at is not None)
        assert host.names == {"nodes:a", "nodes:b"}
        assert isinstance(host.world.clock, FakeClock)
        host.world.clock.ahead_s = 601.0
        await host.has("a")


async def test_fifo_is_a_failure(config: Path, directory: Path) -> None:
    os.mkfifo(directory / "a.json")
    async with running(config, of_files(directory)) as host:
        await host.fails(f"{directory}/a.json: Not a regular file")


async def test_hostile_targets_are_reported_and_the_others_apply(config: Path, directory: Path) -> None:
    groups = [
        group("good:1"),
        group("long:1", env="x" * (1 << 20)),
        group("line:1", env="a\nb"),
        group("name:1\x1b[31m"),
        group("x" * 100_000),
    ]
    async with running(config, of_files(directory)) as host:
        write(directory / "a.json", *groups)
        await host.has("good")
        assert sorted(host.status.rejected.values()) == [
            "contains whitespace, a quote, a wildcard (* ? [ ]) or a non-printable character; use letters, digits and "
            "other punctuation",
            "its address has more than 2048 characters",
            "its label env has more than 4096 characters",
            "labels.env contains a control character or an invisible character",
        ]


async def test_configured_monitor_and_discovered_one_never_have_the_same_name(
    config: Path, directory: Path
) -> None:
    write(directory / "a.json", group("a:1"))
    text = '[monitors.nodes]\ntype = "tcp"\naddress = "127.0.0.1:9"\n' + of_files(directory)
    async with running(config, text) as host:
        await until(lambda: host.names == {"nodes", "nodes:a"})


async def test_reload_changes_the_template_and_keeps_the_monitors(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1", env="prod"))
    async with running(config, of_files(directory)) as host:
        await host.has("a")
        write_text(config, of_files(directory).replace('"at:{host}"', '"on:{host}"'))
        outcome = await host.world.control.reload("test")
        assert outcome.ok
        await until(lambda: host.tags("nodes:a") == ("on:a", "prod"))
        write_text(config, of_files(directory).replace("{host}", "{hst}"))
        outcome = await host.world.control.reload("test")
        assert not outcome.ok
        assert host.tags("nodes:a") == ("on:a", "prod")
        write_text(config, "")
        await host.world.control.reload("test")
        await until(lambda: host.names == set())


# HTTP


def of_http(port: int, more: str = "") -> str:
    url = f"http://127.0.0.1:{port}/targets?token=geheim123"
    return f'[[discover]]\ntype = "http"\nname = "nodes:{{host}}"\nurl = "{url}"\n{more}{MONITOR}'


def changing(content: Callable[[], bytes], status: Callable[[], str] = lambda: "200 OK") -> Any:
    async def answer(peer: Peer) -> None:
        await respond(status(), content(), {"Content-Type": "application/json"})(peer)

    return answer


async def test_monitors_follow_an_http_server(config: Path) -> None:
    groups, status = [group("a:1", "b:1", env="prod")], "200 OK"
    async with serve(changing(lambda: json.dumps(groups).encode(), lambda: status)) as server:
        text = of_http(server.port, 'headers = { X-Api-Key = "schluessel1" }\n')
        async with running(config, text) as host:
            await host.has("a", "b")
            headers = server.requests[0].headers
            assert (headers["accept"], headers["x-api-key"]) == ("application/json", "schluessel1")
            groups = [group("b:1")]
            await host.has("b")
            status = "503 Service Unavailable"
            await host.fails("HTTP 503")
            problem = host.status.problem or ""
            assert "geheim123" not in problem
            assert f"http://127.0.0.1:{server.port}/targets" in problem
            assert host.names == {"nodes:b"}
            status = "200 OK"
            await until(lambda: host.status.problem is None)


@pytest.mark.parametrize(
    ("body", "more", "problem"),
    [
        (b"{}", "", "the response is not a JSON list of groups of targets"),
        (b"\xff", "", "the response is not UTF-8 text"),
        (b"[" + b" " * 5000 + b"]", 'max_body_size = "4KiB"\n', "larger than 4096 bytes"),
    ],
    ids=["object", "bytes", "large"],
)
async def test_invalid_responses_are_failures(config: Path, body: bytes, more: str, problem: str) -> None:
    async with serve(changing(lambda: body)) as server, running(config, of_http(server.port, more)) as host:
        await host.fails(problem)


async def test_slow_server_is_a_failure_and_does_not_delay_a_stop(config: Path) -> None:
    async with serve(Peer.hang) as server:
        async with running(config, of_http(server.port, 'timeout = "200ms"\n')) as host:
            await until(lambda: host.status.problem is not None)
        async with running(config, of_http(server.port, 'timeout = "5m"\n')):
            await asyncio.sleep(0)


# DNS


def of_dns(port: int, more: str) -> str:
    return (
        '[[discover]]\ntype = "dns"\nname = "nodes:{address}"\nnames = "_http._tcp.example.test"\n'
        f'server = "127.0.0.1"\nserver_port = {port}\n{more}{MONITOR}'
    )


async def test_monitors_follow_srv_records(config: Path) -> None:
    name, records, rcode = (
        "_http._tcp.example.test.",
        ["0 0 80 a.test.", "0 0 81 b.test.", "0 0 0 ."],
        "NOERROR",
    )

    def answer(query: bytes) -> list[bytes]:
        return [response(query, *(f"{name} 60 SRV {record}" for record in records), rcode=rcode)]

    async with answering(answer) as port, running(config, of_dns(port, "")) as host:
        await host.has("a.test:80", "b.test:81")
        assert host.tags("nodes:a.test:80") == ("at:a.test",)
        records = ["0 0 80 a.test."]
        await host.has("a.test:80")
        records, rcode = [], "SERVFAIL"
        await host.fails("_http._tcp.example.test. SRV: SERVFAIL")
        assert host.names == {"nodes:a.test:80"}


async def test_failed_name_leaves_no_query_of_another_one_behind() -> None:
    def answer(query: bytes) -> list[bytes]:
        return [] if b"silent" in query else [response(query, rcode="NXDOMAIN")]

    async with answering(answer) as port:
        names = ("silent.test.", "unknown.test.")
        options = DnsDiscoveryOptions(names, "A", 80, "127.0.0.1", port)
        fetcher = DnsFetcher(options, 0.5, replace(fake_source_tools(), clock=SystemClock()))
        with pytest.raises(FetchError):
            await fetcher.fetch()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_monitors_follow_addresses(config: Path) -> None:
    name = "_http._tcp.example.test."

    def answer(query: bytes) -> list[bytes]:
        return [response(query, f"{name} 60 AAAA 2001:db8::1")]

    more = 'record_type = "AAAA"\nport = 80\n'
    async with answering(answer) as port, running(config, of_dns(port, more)) as host:
        await host.has("2001:db8::1:80")


async def test_incident_of_a_removed_target_is_closed(config: Path, directory: Path) -> None:
    write(directory / "a.json", group("a:1"))
    async with running(
        config, of_files(directory).replace("[discover.monitor]", "[discover.monitor]\nfail_after = 1")
    ) as host:
        await host.has("a")
        await host.world.dispatcher.check_now("nodes:a")
        await until(lambda: host.world.state("nodes:a") is State.DOWN)
        write(directory / "a.json")
        await host.has()
        assert [incident.closed_at is None for incident in host.world.incidents] == [True, False]


async def test_unreadable_file_is_a_failure(config: Path, directory: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    write(directory / "a.json", group("a:1"))
    (directory / "a.json").chmod(0)
    async with running(config, of_files(directory)) as host:
        await host.fails("a.json: Permission denied")


class HangingFetcher(FileFetcher):
    """Reads the files only when `opened` is set, as on a network file system whose server does not respond."""

    opened = threading.Event()
    reads = 0

    def read_changed(self) -> Any:
        self.reads += 1
        self.opened.wait()
        return super().read_changed()


async def test_file_system_that_hangs_holds_one_thread_and_is_read_when_it_responds(directory: Path) -> None:
    write(directory / "a.json", group("a:1"))
    fetcher = HangingFetcher(FileOptions((f"{directory}/*.json",)), 0.0, fake_source_tools())
    try:
        for _ in range(50):
            with pytest.raises(FetchError, match="cannot be read within 0 s"):
                await fetcher.fetch()
            fetcher.forget()
        assert fetcher.reads == 1
    finally:
        fetcher.opened.set()
    fetcher.timeout_s = 60.0
    texts = await fetcher.fetch()
    assert texts is not None
    assert await fetcher.fetch() is None
