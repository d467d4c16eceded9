"""The source of monitors of unhealthy containers: a dispatcher, and a fake engine."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.monitors import MonitorSettings
from monitord.monitors.container.monitor import ContainerOptions
from monitord.net.containers import Containers
from monitord.settings import AutomaticReader
from monitord.sources import Sources, SourcesSettings
from monitord.sources.containers import UnhealthyContainers, unhealthy_containers
from monitord.sources.recoveries import RECOVERED_AFTER_S
from tests.buses import until
from tests.configurations import errors_of, settings_of
from tests.containers import ENGINES, FakeEngine, RecordedClock, fake_engine, recorded
from tests.fakes import monitor_settings
from tests.worlds import World


class Host:
    """A daemon's parts, as far as they matter here."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.clock = RecordedClock()
        self.world = World(clock=self.clock)
        self.world.override(ApplicationContainer.containers, Containers(retry_first_s=0.01))
        self.sources = Sources(
            self.world.dispatcher, self.world.source_tools, self.world.build_monitor, lambda _, __: None, {}
        )
        self.world.start()

    def configure(self, *monitors: MonitorSettings, ignore: tuple[str, ...] = ()) -> None:
        source = unhealthy_containers(str(self.engine.socket), ignore, monitors)
        settings = (replace(source, query_every_s=0.01),)
        self.sources.apply(SourcesSettings(settings, ignore, AutomaticReader({"check_every": "60s"}, (), {})))

    @property
    def names(self) -> set[str]:
        return set(self.world.dispatcher.entries)

    async def query(self) -> None:
        """Wait until the source has queried the engine twice, the second time with the current state."""
        lists = self.engine.targets.count("/containers/json?all=true")
        await until(lambda: self.engine.targets.count("/containers/json?all=true") >= lists + 3)


@pytest.fixture(params=ENGINES)
async def host(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    async with fake_engine(tmp_path / "engine.sock", recorded(request.param)) as engine:
        host = Host(engine)
        yield host
        await host.sources.close()
        await host.world.close()
        await host.world.containers.close()


async def test_unhealthy_container_is_monitored_until_it_has_recovered(host: Host) -> None:
    for name, state in (("web", "web-unhealthy"), ("db", "web-healthy"), ("old", "broken"), ("new", "plain")):
        host.engine.run(name, state)
    host.configure()
    await until(lambda: host.names == {"container:web"})
    options: Any = host.world.dispatcher.entries["container:web"].monitor.settings.options
    assert (options.container, options.socket) == ("web", str(host.engine.socket))
    host.engine.change("web", Health="healthy")
    await host.query()
    assert host.names == {"container:web"}
    host.clock.ahead_s = RECOVERED_AFTER_S + 1
    await until(lambda: not host.names)


async def test_container_that_crashes_repeatedly_is_monitored(host: Host) -> None:
    host.engine.run("web")
    host.engine.end("web", 5)
    host.engine.change("web", Status="restarting")
    host.configure()
    await until(lambda: host.names == {"container:web"})


async def test_ignored_and_watched_containers_are_excluded(host: Host) -> None:
    for name in ("web", "test-1", "shop-1", "other"):
        host.engine.run(name, "web-unhealthy")
    socket = str(host.engine.socket)
    watched = [
        monitor_settings("a", type_name="container", options=ContainerOptions("web", socket=socket)),
        monitor_settings(
            "b", type_name="container", options=ContainerOptions(patterns=("shop-*",), socket=socket)
        ),
        monitor_settings("c", type_name="container", options=ContainerOptions("other", socket="/elsewhere")),
    ]
    host.configure(*watched, ignore=("container:test-*",))
    await until(lambda: bool(host.names))
    await host.query()
    assert host.names == {"container:other"}


async def test_engine_that_does_not_respond_changes_nothing(host: Host) -> None:
    host.engine.run("web", "web-unhealthy")
    host.configure()
    await until(lambda: host.names == {"container:web"})
    host.engine.status = 500
    host.clock.ahead_s = RECOVERED_AFTER_S + 1
    await host.query()
    assert host.names == {"container:web"}


def test_keys_of_auto_are_read(tmp_path: Path) -> None:
    text = '[auto]\ncontainers = "unhealthy"\ncontainer_socket = "/run/podman/podman.sock"\nignore = ["container:a*"]\n'
    (source,) = settings_of(tmp_path, text).sources.sources
    assert source == UnhealthyContainers("/run/podman/podman.sock", ("container:a*",))
    assert settings_of(tmp_path, '[auto]\ncontainer_socket = "/run/x.sock"\n').sources.sources == ()
    assert len(errors_of(tmp_path, '[auto]\ncontainers = "failed"\ncontainer_socket = "x"\n')) == 2
