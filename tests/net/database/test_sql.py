"""The process of a client that does not do what it should."""

import sys
import time
from collections.abc import AsyncIterator

import pytest

from monitord.net import FailureKind, Processes, Resolver, TlsContexts
from monitord.net.database.sql import SqlClient, SqlRequest, SqlServer
from monitord.net.stream.client import StreamTarget
from tests.servers import Peer, serve

REQUEST = SqlRequest(SqlServer.POSTGRESQL, "kim", "kim-kim-kim", "shop", "SELECT 1")
READY = "import json, socket, sys; control = socket.socket(fileno=json.load(sys.stdin)['control']); control.send(b'{}')"

pytestmark = pytest.mark.slow


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    processes = Processes()
    yield processes
    await processes.close()


async def failure_of(
    processes: Processes, *command: str, port: int = 1, within_s: float = 60.0
) -> tuple[FailureKind | None, str]:
    client = SqlClient(Resolver(), TlsContexts(), processes, command)
    target = StreamTarget("127.0.0.1", port)
    outcome = await client.query(target, REQUEST, deadline=time.monotonic() + within_s)
    assert (outcome.state, outcome.error) == (None, None)
    return outcome.stream.failure, outcome.stream.detail


async def hang(peer: Peer) -> None:
    await peer.hang()


async def test_program_that_does_not_exist(processes: Processes) -> None:
    kind, detail = await failure_of(processes, "/none")
    assert (kind, detail) == (FailureKind.PROBER_FORBIDDEN, "/none: No such file or directory")


async def test_program_that_does_not_start_in_time(processes: Processes) -> None:
    kind, detail = await failure_of(processes, "/bin/sleep", "3600", within_s=0.1)
    assert kind is FailureKind.PROBER_EXHAUSTED
    assert detail == (
        "the process of the client did not start within the timeout; "
        "raise timeout, or lower max_concurrent_processes"
    )


async def test_program_that_starts_so_late_that_the_timeout_is_not_the_fault_of_the_server(
    processes: Processes,
) -> None:
    code = "import time; time.sleep(0.6); " + READY + "; time.sleep(3600)"
    async with serve(hang) as server:
        kind, detail = await failure_of(processes, sys.executable, "-c", code, port=server.port, within_s=1.0)
    assert kind is FailureKind.PROBER_EXHAUSTED
    assert detail.startswith("the process of the client ")


async def test_program_that_ends_before_it_is_ready_is_a_bug(processes: Processes) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        await failure_of(processes, sys.executable, "-c", "1 / 0")


async def test_program_that_ends_without_a_result(processes: Processes) -> None:
    async with serve(hang) as server:
        failed = await failure_of(processes, sys.executable, "-c", READY, port=server.port)
    assert failed == (FailureKind.PROTOCOL_ERROR, "the client library cannot process the response")


def test_password_is_not_in_the_representation_of_a_request() -> None:
    assert "kim-kim-kim" not in repr(REQUEST)
