"""Pings over HTTP: the real application in the test process, with a control that records them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitord.monitors.heartbeat.monitor import Heartbeat, HeartbeatSignal
from monitord.status.api.heartbeats import MAX_BODY_BYTES, add_heartbeat_routes
from monitord.web import Application
from monitord.web.testing import ClientResponse, SocketClient, TestClient
from tests.endpoint import FakeControl, endpoint

JSON = [("Content-Type", "application/json")]


@asynccontextmanager
async def heartbeats(tmp_path: Path) -> AsyncIterator[tuple[TestClient, FakeControl]]:
    async with endpoint(tmp_path) as at:
        application = Application()
        add_heartbeat_routes(application.router, at.control)
        async with TestClient(application) as client:
            yield client, at.control


@pytest.mark.parametrize(
    ("target", "body", "heartbeat"),
    [
        ("good", b"", Heartbeat()),
        ("good/success", b"", Heartbeat()),
        ("good/start", b"", Heartbeat(HeartbeatSignal.START)),
        ("good/fail", b"disk full", Heartbeat(HeartbeatSignal.FAIL, message="disk full")),
        ("good/log", b"half way", Heartbeat(HeartbeatSignal.LOG, message="half way")),
        ("good/0", b"", Heartbeat(exit_status=0)),
        ("good/17", b"", Heartbeat(HeartbeatSignal.FAIL, 17)),
        ("good?signal=start&run=a%20b", b"", Heartbeat(HeartbeatSignal.START, run_id="a b")),
        ("good?exit_status=2&message=no+disk", b"", Heartbeat(HeartbeatSignal.FAIL, 2, "no disk")),
        ("good/start?run=7", b"", Heartbeat(HeartbeatSignal.START, run_id="7")),
        ("good", "grün".encode(), Heartbeat(message="grün")),
        ("good", b"\xff", Heartbeat(message="\N{REPLACEMENT CHARACTER}")),
        ("a.b-c_d", b"", Heartbeat()),
    ],
)
async def test_forms_of_a_heartbeat_are_recorded(
    tmp_path: Path, target: str, body: bytes, heartbeat: Heartbeat
) -> None:
    async with heartbeats(tmp_path) as (client, control):
        response = await client.post(f"/heartbeats/{target}", body=body)
        name = re.split("[/?]", target)[0]
        assert (response.status, response.json()) == (200, {"name": name, "signal": heartbeat.signal.value})
        assert control.heartbeats == [(name, heartbeat)]


@pytest.mark.parametrize(
    ("document", "heartbeat"),
    [
        ({}, Heartbeat()),
        ({"signal": "fail", "message": "x", "run": "r"}, Heartbeat(HeartbeatSignal.FAIL, None, "x", "r")),
        ({"exit_status": 1, "run": 12, "message": None}, Heartbeat(HeartbeatSignal.FAIL, 1, None, "12")),
    ],
)
async def test_heartbeat_can_be_json(tmp_path: Path, document: Any, heartbeat: Heartbeat) -> None:
    async with heartbeats(tmp_path) as (client, control):
        assert (await client.post("/heartbeats/good", json=document)).status == 200
        assert control.heartbeats == [("good", heartbeat)]


@pytest.mark.parametrize(
    ("target", "body", "headers", "status", "said"),
    [
        (
            "nobody",
            b"",
            [],
            404,
            "no monitor has the name 'nobody'; GET /api/v1/monitors lists the monitors\n",
        ),
        ("bad", b"", [], 409, 'bad is of type fake and takes no heartbeats; write type = "heartbeat"\n'),
        ("good/dnoe", b"", [], 400, "'dnoe' is not a signal; write one of: success, start, fail, log\n"),
        ("good/256", b"", [], 400, "'256' is not an exit status; write a number from 0 to 255\n"),
        ("good?exit_status=-1", b"", [], 400, "'-1' is not an exit status; write a number from 0 to 255\n"),
        ("good?exitstatus=1", b"", [], 400, "'exitstatus' is an unknown key; write one of: signal, exit_"),
        ("good/fail?signal=success", b"", [], 409, "'signal' has two different values; write it once\n"),
        ("good?message=a", b"b", [], 409, "'message' has two different values; write it once\n"),
        ("good/start?exit_status=1", b"", [], 409, "a start has no exit status; remove one of them\n"),
        ("good?run=", b"", [], 400, "'run' must have 1 to 100 characters\n"),
        ("good", b"{", JSON, 400, "the body is not JSON: "),
        ("good", b"[1]", JSON, 400, 'the body is not a JSON object; write {"signal": "success"}\n'),
        (
            "good",
            b'{"exit_status": true}',
            JSON,
            400,
            "'exit_status' is neither a string nor an integer; write it in quotes\n",
        ),
        (
            "good",
            b'{"failed": 1}',
            JSON,
            400,
            "'failed' is an unknown key; write one of: signal, exit_status",
        ),
        ("good", b"[" * 60_000, JSON, 400, "the body is not JSON: "),
    ],
)
async def test_invalid_heartbeat_is_rejected(
    tmp_path: Path, target: str, body: bytes, headers: list[tuple[str, str]], status: int, said: str
) -> None:
    async with heartbeats(tmp_path) as (client, control):
        response = await client.post(f"/heartbeats/{target}", body=body, headers=headers)
        assert (response.status, response.text[: len(said)]) == (status, said)
        assert control.heartbeats == []


async def test_long_output_is_truncated_and_its_heartbeat_is_recorded(tmp_path: Path) -> None:
    async with heartbeats(tmp_path) as (client, control):
        assert (await client.post("/heartbeats/good/1", body=b"x" * 3_000_000)).status == 200
        ((_, heartbeat),) = control.heartbeats
        assert heartbeat == Heartbeat(HeartbeatSignal.FAIL, 1, "x" * 10_240)


async def test_endless_output_is_rejected(tmp_path: Path) -> None:
    async with heartbeats(tmp_path) as (client, control):
        response = await client.post("/heartbeats/good", body=b"x" * (MAX_BODY_BYTES + 1))
        assert (response.status, control.heartbeats) == (413, [])


async def test_heartbeat_with_get_is_405(tmp_path: Path) -> None:
    async with heartbeats(tmp_path) as (client, control):
        assert (await client.get("/heartbeats/good")).status == 405
        assert control.heartbeats == []


async def test_heartbeats_over_tcp_are_forbidden_without_a_token(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        application = Application()
        add_heartbeat_routes(application.router, at.control)
        async with SocketClient(application) as client:
            response: ClientResponse = await client.post("/heartbeats/good")
        assert response.status == 403
        assert at.control.heartbeats == []


async def test_status_socket_accepts_pings(tmp_path: Path) -> None:
    async with endpoint(tmp_path) as at:
        assert await at.post("heartbeats", "good", "start") == {"name": "good", "signal": "start"}
        assert at.control.heartbeats == [("good", Heartbeat(HeartbeatSignal.START))]
