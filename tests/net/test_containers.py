"""Queries and events of container engines, with the responses of Docker and Podman that were recorded."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitord.net.containers import (
    MAX_EVENT_BYTES,
    MAX_STATE_BYTES,
    ContainerEvent,
    Containers,
    EngineError,
    EngineFailure,
)
from tests.buses import until
from tests.containers import ENGINES, FakeEngine, fake_engine, recorded
from tests.net.conftest import in_time, soon

OTHER_USER = 65534


@pytest.fixture(params=ENGINES)
async def engine(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[FakeEngine]:
    async with fake_engine(tmp_path / "engine.sock", recorded(request.param)) as engine:
        yield engine


@pytest.fixture
async def containers() -> AsyncIterator[Containers]:
    containers = Containers(retry_first_s=0.01)
    yield containers
    await containers.close()
    await containers.close()


async def error_of(containers: Containers, socket: Path | str, deadline: float | None = None) -> EngineError:
    with pytest.raises(EngineError) as raised:
        await containers.inspect(str(socket), "web", deadline=deadline or in_time())
    return raised.value


# Queries


async def test_list_has_name_status_and_labels(engine: FakeEngine, containers: Containers) -> None:
    engine.run("web", "web-healthy", labels={"app": "shop"})
    engine.run("job", "job")
    rows = await containers.list(str(engine.socket), deadline=in_time())
    assert [(row.name, row.status, row.labels) for row in rows] == [
        ("web", "running", {"app": "shop"}),
        ("job", "exited", {}),
    ]


@pytest.mark.parametrize(
    ("state", "status", "health", "exit_code", "restarts", "policy"),
    [
        ("plain", "running", "", 0, 0, "no"),
        ("web-starting", "running", "starting", 0, 0, "no"),
        ("web-healthy", "running", "healthy", 0, 0, "no"),
        ("web-unhealthy", "running", "unhealthy", 0, 0, "no"),
        ("job", "exited", "", 0, 0, "no"),
        ("broken", "exited", "", 3, 0, "no"),
        ("loop", "exited", "", 4, 3, "on-failure"),
        ("created", "created", "", 0, 0, "no"),
    ],
)
async def test_states_of_both_engines_are_the_same(
    engine: FakeEngine,
    containers: Containers,
    state: str,
    status: str,
    health: str,
    exit_code: int,
    restarts: int,
    policy: str,
) -> None:
    engine.run("web", state)
    found = await containers.inspect(str(engine.socket), "web", deadline=in_time())
    assert found is not None
    assert (found.name, found.status, found.health, found.exit_code, found.restarts) == (
        "web",
        status,
        health,
        exit_code,
        restarts,
    )
    assert (found.policy, found.image.removeprefix("localhost/")) == (policy, "local/busybox:1")
    assert found.created_at is not None
    assert found.finished_at is not None or status != "exited"


async def test_memory_exhaustion_is_in_the_state(tmp_path: Path, containers: Containers) -> None:
    async with fake_engine(tmp_path / "engine.sock", recorded("docker-20.10.24")) as engine:
        engine.run("oom", "oom")
        found = await containers.inspect(str(engine.socket), "oom", deadline=in_time())
        assert found is not None
        assert (found.is_oom_killed, found.exit_code) == (True, 137)


async def test_missing_container_is_none(engine: FakeEngine, containers: Containers) -> None:
    assert await containers.inspect(str(engine.socket), "web", deadline=in_time()) is None


async def test_many_queries_leave_no_connection_open(engine: FakeEngine, containers: Containers) -> None:
    engine.run("web")
    await containers.inspect(str(engine.socket), "web", deadline=in_time())
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        await containers.inspect(str(engine.socket), "web", deadline=in_time())
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208


# Errors


def set_mode(folder: str, mode: int) -> None:
    Path(folder).chmod(mode)


@contextmanager
def as_another_user() -> Iterator[None]:
    """Root may use every socket."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def test_missing_socket_is_away(tmp_path: Path, containers: Containers) -> None:
    error = await error_of(containers, tmp_path / "none.sock")
    assert (error.failure, error.detail) == (
        EngineFailure.AWAY,
        f"{tmp_path}/none.sock: No such file or directory",
    )


async def test_socket_without_listener_is_away(tmp_path: Path, containers: Containers) -> None:
    async with fake_engine(tmp_path / "engine.sock", recorded(ENGINES[0])):
        pass
    (tmp_path / "file").write_text("")
    assert (await error_of(containers, tmp_path / "file")).detail == f"{tmp_path}/file is not a socket"


@pytest.mark.parametrize("is_directory_open", [True, False])
async def test_socket_without_permission_is_forbidden(
    containers: Containers, is_directory_open: bool
) -> None:
    # Not below tmp_path, whose parents only its owner can search.
    with TemporaryDirectory() as folder:
        async with fake_engine(Path(folder) / "engine.sock", recorded(ENGINES[0])) as engine:
            engine.socket.chmod(0)
            set_mode(folder, 0o755 if is_directory_open else 0)
            with as_another_user():
                error = await error_of(containers, engine.socket)
            set_mode(folder, 0o700)
    assert (error.failure, error.detail) == (EngineFailure.FORBIDDEN, f"{engine.socket}: Permission denied")


async def test_engine_that_does_not_respond_is_silent(engine: FakeEngine, containers: Containers) -> None:
    engine.hangs = True
    error = await error_of(containers, engine.socket, soon())
    assert error.failure is EngineFailure.SILENT


@pytest.mark.parametrize(
    ("status", "body", "failure", "detail"),
    [
        pytest.param(403, b"", EngineFailure.FORBIDDEN, "status 403", id="proxy"),
        pytest.param(
            500, b'{"message":"disk full"}', EngineFailure.REFUSED, "status 500: disk full", id="error"
        ),
        pytest.param(500, b"[]", EngineFailure.REFUSED, "status 500", id="error without a message"),
        pytest.param(200, b"hello", EngineFailure.REFUSED, "not that of a container engine", id="text"),
        pytest.param(200, b"{}", EngineFailure.REFUSED, "not that of a container engine", id="other JSON"),
        pytest.param(
            200, b"[" * 100_000, EngineFailure.REFUSED, "not that of a container engine", id="nested"
        ),
        pytest.param(200, b" " * (MAX_STATE_BYTES + 1), EngineFailure.REFUSED, "larger than", id="large"),
    ],
)
async def test_unusable_response_is_an_error(
    engine: FakeEngine,
    containers: Containers,
    status: int,
    body: bytes,
    failure: EngineFailure,
    detail: str,
) -> None:
    engine.status, engine.body = status, body
    error = await error_of(containers, engine.socket)
    assert error.failure is failure
    assert detail in error.detail


# Events


async def test_recorded_events_are_read(engine: FakeEngine, containers: Containers) -> None:
    seen: list[ContainerEvent | None] = []
    containers.follow(str(engine.socket), seen.append)
    await engine.followed()
    engine.run("web", "web-healthy", labels={"app": "shop"})
    await engine.emit("web", "die", exitCode="3")
    await until(lambda: len(seen) == 1)
    (event,) = seen
    assert event is not None
    assert (event.name, event.action, event.exit_code, event.labels["app"]) == ("web", "die", 3, "shop")
    assert event.id == engine.containers["web"]["Id"]


@pytest.mark.parametrize(
    ("action", "attributes", "expected"),
    [
        ("health_status: unhealthy", {}, ("health_status", "unhealthy")),
        ("health_status", {"health_status": "healthy"}, ("health_status", "healthy")),
        ("health_status", {}, ("health_status", "")),
        ("remove", {}, ("destroy", "")),
        ("died", {"exitCode": "x"}, ("die", "")),
    ],
)
async def test_events_of_both_engines_have_one_form(
    engine: FakeEngine,
    containers: Containers,
    action: str,
    attributes: dict[str, str],
    expected: tuple[str, str],
) -> None:
    seen: list[ContainerEvent | None] = []
    containers.follow(str(engine.socket), seen.append)
    await engine.followed()
    engine.run("web")
    await engine.emit("web", action, **attributes)
    await until(lambda: len(seen) == 1)
    assert seen[0] is not None
    assert (seen[0].action, seen[0].health) == expected


async def test_followers_of_a_socket_share_one_stream(engine: FakeEngine, containers: Containers) -> None:
    seen: list[ContainerEvent | None] = []
    subscriptions = [containers.follow(str(engine.socket), seen.append) for _ in range(5)]
    await engine.followed()
    engine.run("web")
    await engine.emit("web", "start")
    await until(lambda: len(seen) == 5)
    assert engine.opened == 1
    for subscription in subscriptions:
        containers.unfollow(subscription)
    await until(lambda: not engine.streams)


async def test_stream_is_opened_again_and_the_gap_is_reported(
    engine: FakeEngine, containers: Containers
) -> None:
    seen: list[ContainerEvent | None] = []
    containers.follow(str(engine.socket), seen.append)
    engine.run("web")
    for number in range(1, 4):
        await engine.followed()
        await engine.emit("web", "start")
        await until(lambda: None not in seen[-1:])
        (peer,) = engine.streams
        peer.reset()
        await until(lambda: engine.opened > number)  # noqa: B023 - awaited here
        # At the end of the stream, and when it is received again: there were no events in between.
        await until(lambda: seen.count(None) == 2 * number)  # noqa: B023


async def test_denied_stream_is_reported_once(
    engine: FakeEngine, containers: Containers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    engine.denies_events = True
    seen: list[ContainerEvent | None] = []
    containers.follow(str(engine.socket), seen.append)
    await until(lambda: engine.opened >= 3)
    assert seen == [None]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "monitord.net.containers"]
    assert line == f"the events of containers cannot be received: {engine.socket}: status 403"


async def test_events_arrive_in_any_pieces_and_damaged_ones_are_skipped(
    engine: FakeEngine, containers: Containers
) -> None:
    seen: list[ContainerEvent | None] = []
    containers.follow(str(engine.socket), seen.append)
    await engine.followed()
    engine.run("web")
    good = engine.event("web", "start")
    long = engine.event("web", "start", label="x" * MAX_EVENT_BYTES)
    data = b'\n{"half\n[]\n{}\n' + good + long + good
    for at in range(0, len(data), 50_001):
        await engine.send(data[at : at + 50_001])
    for at in range(0, len(good), 7):
        await engine.send(good[at : at + 7])
    await until(lambda: len(seen) == 4)
    assert [event and event.action for event in seen] == ["start", None, "start", "start"]


async def test_follower_that_leaves_during_an_event_is_not_called_again(
    engine: FakeEngine, containers: Containers
) -> None:
    seen: list[ContainerEvent | None] = []

    def leave(event: ContainerEvent | None) -> None:
        seen.append(event)
        containers.unfollow(subscription)

    subscription = containers.follow(str(engine.socket), leave)
    await engine.followed()
    engine.run("web")
    await engine.emit("web", "start", "die")
    await until(lambda: not engine.streams)
    await asyncio.sleep(0)
    assert len(seen) == 1
