"""Discovery of containers: a fake engine, and the monitors that follow."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitord.errors import InvalidValueError
from monitord.model import State
from monitord.net.containers import ContainerPort, ContainerRow
from monitord.sources.discovery.containers import address_of
from tests.buses import until
from tests.containers import ENGINES, FakeEngine, fake_engine, recorded
from tests.sources.discovery.test_sources import running

MONITOR = """
refresh_every = "1d"
[discover.monitor]
type = "tcp"
address = "{address}"
check_every = "1h"
fail_after = 1
tags = ["{address}", "{labels.team}", "{__meta_container_label_com_example_app}"]
"""


@pytest.fixture(params=ENGINES)
async def engine(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[FakeEngine]:
    async with fake_engine(tmp_path / "engine.sock", recorded(request.param)) as engine:
        yield engine


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "monitord.toml"


def of_containers(engine: FakeEngine, more: str = "", name: str = "nodes") -> str:
    start = f'[[discover]]\ntype = "containers"\nname = "{name}"\nsocket = "{engine.socket}"\n'
    return f"{start}{more}{MONITOR}"


async def test_monitors_follow_containers_with_labels(config: Path, engine: FakeEngine) -> None:
    labels = {"monitord.team": "shop", "com.example.app": "web"}
    engine.run("web", labels=labels, address="127.0.0.2", ports=(9,))
    engine.run("db", labels={"other.team": "shop"}, address="127.0.0.3", ports=(9,))
    engine.run("old", labels={"monitord.team": "a", "monitord.enable": "false"}, address="127.0.0.4")
    async with running(config, of_containers(engine)) as host:
        await host.has("web")
        assert host.tags("nodes:web") == ("127.0.0.2:9", "shop", "web")
        await engine.followed()
        engine.run("new", labels={"monitord.enable": "true"}, address="127.0.0.5", ports=(9,))
        await engine.emit("new", "start")
        await host.has("web", "new")


async def test_incident_of_a_removed_container_is_closed(config: Path, engine: FakeEngine) -> None:
    engine.run("web", labels={"monitord.team": "a"}, address="127.0.0.2", ports=(9,))
    text = of_containers(engine, 'remove_after = "0s"\n')
    async with running(config, text) as host:
        await host.has("web")
        await engine.followed()
        await host.world.dispatcher.check_now("nodes:web")
        await until(lambda: host.world.state("nodes:web") is State.DOWN)
        event = engine.event("web", "destroy")
        del engine.containers["web"]
        await engine.send(event)
        await host.has()
        assert [incident.closed_at is None for incident in host.world.incidents] == [True, False]


async def test_ended_container_keeps_its_monitor_and_address_across_a_restart(
    config: Path, engine: FakeEngine
) -> None:
    engine.run("web", labels={"monitord.team": "a"}, address="127.0.0.2", ports=(9,))
    text = of_containers(engine)
    async with running(config, text) as host:
        await host.has("web")
        kept = host.kept
    engine.run("web", labels={"monitord.team": "b"}, container_id=engine.containers["web"]["Id"])
    engine.end("web", 1)
    async with running(config, text, kept) as host:
        await until(lambda: "nodes:web" in host.names and host.tags("nodes:web") == ("127.0.0.2:9", "b"))


async def test_failing_engine_keeps_the_monitors_and_is_reported(config: Path, engine: FakeEngine) -> None:
    engine.run("web", labels={"monitord.team": "a"}, address="127.0.0.2", ports=(9,))
    async with running(config, of_containers(engine)) as host:
        await host.has("web")
        await engine.followed()
        engine.status = 500
        await engine.emit("web", "start")
        await host.fails("the containers cannot be queried")
        await host.has("web")
        engine.status = 200
        await engine.emit("web", "start")
        await until(lambda: host.status.problem is None)


async def test_unusable_container_is_reported_and_the_others_apply(config: Path, engine: FakeEngine) -> None:
    engine.run("a", labels={"monitord.enable": "yes"}, address="127.0.0.2", ports=(9,))
    engine.run("b", labels={"monitord.port": "http"}, address="127.0.0.2", ports=(9,))
    engine.run("c", labels={"monitord.network": "none"}, address="127.0.0.2", ports=(9,))
    engine.run("d", labels={"monitord.team": "a"})
    engine.run("e", labels={"monitord.team": "a"}, address="127.0.0.2", ports=(9,))
    async with running(config, of_containers(engine)) as host:
        await host.has("e")
        assert host.status.rejected == {
            "a": "its label monitord.enable is not true or false",
            "b": "its label monitord.port is not a port",
            "c": "its label monitord.network is not the name of one of its networks",
            "d": "the target has no address",
        }


async def test_other_prefix_and_name(config: Path, engine: FakeEngine) -> None:
    engine.run("web", labels={"mon/team": "a", "monitord.team": "b"}, address="127.0.0.2", ports=(9,))
    text = of_containers(engine, 'label_prefix = "mon/"\n', "nodes:{labels.team}")
    async with running(config, text) as host:
        await host.has("a")


PORTS = (ContainerPort(8080), ContainerPort(80, 8000, "0.0.0.0"), ContainerPort(443, 8443, "::"))


@pytest.mark.parametrize(
    ("addresses", "ports", "labels", "result"),
    [
        ({"b": "127.0.0.3", "a": "127.0.0.2"}, PORTS, (None, None), "127.0.0.2:80"),
        ({"b": "127.0.0.3", "a": "127.0.0.2"}, PORTS, ("b", "8080"), "127.0.0.3:8080"),
        ({"a": "127.0.0.2"}, (), (None, None), "127.0.0.2"),
        ({"a": "127.0.0.2"}, (), (None, "5432"), "127.0.0.2:5432"),
        ({"a": "::1"}, PORTS, (None, None), "[::1]:80"),
        ({}, PORTS, (None, None), "127.0.0.1:8000"),
        ({}, PORTS, (None, "443"), "[::1]:8443"),
        ({}, PORTS, (None, "8080"), ""),
        ({}, (), (None, None), ""),
    ],
)
def test_address(
    addresses: dict[str, str],
    ports: tuple[ContainerPort, ...],
    labels: tuple[str | None, str | None],
    result: str,
) -> None:
    row = ContainerRow("1", "web", "running", addresses=addresses, ports=ports)
    assert address_of(row, *labels) == result


def test_address_in_the_network_of_the_host() -> None:
    row = ContainerRow("1", "web", "running", ports=(ContainerPort(80),), is_in_host_network=True)
    assert address_of(row, None, None) == "127.0.0.1:80"


@pytest.mark.parametrize("port", ["", "0", "65536", "http", "²", "-1", "9" * 5000])
def test_invalid_port(port: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a port"):
        address_of(ContainerRow("1", "web", "running"), None, port)
