"""Reports of agents over TCP, with the real server and authorization, to a hub on a database in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.cluster.agent import HubStore
from monitord.cluster.model import LIVE_S, ClusterDecision, Intervention, InterventionKind, Node, Role
from monitord.cluster.settings import HubSettings
from monitord.config import Secret
from monitord.errors import ClusterError, NodeNameError
from monitord.model import Reason, State, TokenRights
from monitord.net import HttpClient, Resolver, TlsContexts
from monitord.status import Access, AccessPolicy, AccessToken
from monitord.web.testing import ClientResponse, SocketClient
from tests.cluster.fake_database import FakeServer
from tests.cluster.votes import BEGAN, vote
from tests.cluster.worlds import NodeWorld
from tests.endpoint import asked, make_world
from tests.fakes import FakeClock
from tests.status.api.test_api import described
from tests.status.test_acceptance import is_valid

PATH = "/api/v1/reports"
REPORT = "token-of-the-agents"
TOKENS = (
    AccessToken("agents", Secret(REPORT), TokenRights.REPORT),
    AccessToken("branch", Secret("token-of-the-branch"), TokenRights.REPORT, ("branch",)),
    AccessToken("phone", Secret("token-of-the-phone"), TokenRights.ACKNOWLEDGE),
)
REASONS = "application/problem+json"


class HubServer:
    """A node that serves its API."""

    def __init__(self, world: NodeWorld, client: SocketClient) -> None:
        self.world = world
        self.server = world.database.server
        self._client = client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._client.server.port}"

    async def post(self, body: bytes, token: str | None = REPORT, **fields: str) -> ClientResponse:
        lines = [
            f"POST {PATH} HTTP/1.1",
            f"Host: 127.0.0.1:{self._client.server.port}",
            *([] if token is None else [f"Authorization: Bearer {token}"]),
            f"Content-Type: {fields.get('content_type', 'application/json')}",
            f"Content-Length: {len(body)}",
        ]
        async with await self._client.connect() as connection:
            await connection.send("\r\n".join([*lines, "", ""]).encode() + body)
            return await connection.response("POST")

    async def report(self, token: str | None = REPORT, **changes: object) -> ClientResponse:
        return await self.post(json.dumps({**report(), **changes}).encode(), token)


def report() -> dict[str, Any]:
    return {
        "node": "branch1",
        "location": "branch",
        "run": "run",
        "number": 1,
        "sent_at": "2026-01-31T12:00:00Z",
        "is_ready": True,
        "votes": [
            {
                "monitor": "shop",
                "state": "down",
                "since": "2026-01-31T12:00:00Z",
                "reason": "refused",
                "detail": "connection refused",
                "excerpt": "",
                "checked_at": "2026-01-31T12:00:00Z",
            }
        ],
    }


@asynccontextmanager
async def hub(tokens: tuple[AccessToken, ...] = TOKENS, path: Path | None = None) -> AsyncIterator[HubServer]:
    world = NodeWorld(FakeServer(FakeClock()), "fra1", "fra", monitors=())
    world.override(ApplicationContainer.access, Access(AccessPolicy(tokens=tokens), world.clock))
    hub = world.node.hub
    assert hub is not None

    async def write() -> None:
        while True:
            await hub.step()

    writing = asyncio.ensure_future(write())
    try:
        async with SocketClient(world.status_application, path=path) as client:
            yield HubServer(world, client)
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        await world.close()


async def test_report_is_stored_acknowledged_and_answered() -> None:
    async with hub() as at:
        response = await at.report()
        assert response.status == 200
        answer = response.json()
        assert (answer["acknowledged"], answer["was_stale"], answer["alerts"]) == (1, True, None)
        assert [(node["name"], node["role"]) for node in answer["nodes"]] == [("branch1", "agent")]
        assert at.server.votes["shop", "branch"].state is State.DOWN
        assert at.server.nodes["branch1"][0].role is Role.AGENT


async def test_repeated_report_changes_nothing() -> None:
    async with hub() as at:
        assert (await at.report(number=3)).json()["acknowledged"] == 3
        before = dict(at.server.nodes), dict(at.server.votes)
        again = await at.report(number=2, votes=[])
        assert (again.status, again.json()["acknowledged"]) == (200, 3)
        assert (at.server.nodes, at.server.votes) == before
        view = at.world.node.view().reports
        assert (view.stored, view.repeated, view.rejected) == (1, 1, 0)


@pytest.mark.parametrize(
    ("token", "location", "status", "text"),
    [
        (None, "branch", 401, "require a token"),
        ("token-of-eve", "branch", 401, "the token is invalid"),
        ("token-of-the-phone", "branch", 403, "the token phone does not permit this"),
        ("token-of-the-branch", "branch", 200, ""),
        ("token-of-the-branch", "fra", 403, 'does not permit reports from the location "fra"'),
    ],
)
async def test_token_is_required(token: str | None, location: str, status: int, text: str) -> None:
    async with hub() as at:
        response = await at.report(token, location=location)
        assert response.status == status
        if status != 200:
            assert text in response.json()["detail"]
            assert at.server.nodes == {}


async def test_reports_over_tcp_are_rejected_without_a_configured_token() -> None:
    async with hub(()) as at:
        assert (await at.report(None)).status == 403
        assert (await at.report("x")).status == 401
        assert at.server.nodes == {}


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"number": 0}, "number: is not an integer from 1 to 9007199254740991; write 1"),
        ({"votes": [{}]}, 'votes: item 0: monitor: missing; add "monitor"'),
        ({"nodes": 1}, "nodes: unknown key; did you mean node?"),
    ],
)
async def test_invalid_report_is_rejected_with_a_hint(changes: dict[str, Any], detail: str) -> None:
    async with hub() as at:
        response = await at.report(**changes)
        assert (response.status, response.headers["Content-Type"]) == (400, REASONS)
        assert response.json()["detail"] == detail
        assert at.server.nodes == {}


async def test_all_missing_keys_are_reported() -> None:
    async with hub() as at:
        errors = (await at.post(b"{}")).json()["errors"]
        assert [error["parameter"] for error in errors] == [
            "node",
            "location",
            "run",
            "number",
            "sent_at",
            "is_ready",
        ]
        assert (await at.post(b"{")).status == 400
        assert (await at.post(b"{}", content_type="text/plain")).status == 415


VOTE = report()["votes"][0]
HOST_MONITOR: dict[str, Any] = {
    "monitor": "nginx",
    "type": "unit",
    "tags": ["web"],
    "state": "down",
    "since": "2026-01-31T12:00:00Z",
    "reason": "refused",
    "detail": "failed",
    "acknowledged_by": None,
    "maintenance": None,
}
START = {"at": "2026-01-31T12:00:00Z", "run": None}
END = {**START, "signal": "success", "exit_status": None}
HEARTBEAT: dict[str, Any] = {
    "monitor": "backup",
    "last_signal_at": "2026-01-31T12:00:00Z",
    "starts": [],
    "ends": [],
    "succeeded_at": "2026-01-31T12:00:00Z",
    "message_at": None,
    "message": None,
}
VALUES: list[tuple[str, Any]] = [
    *(("node", value) for value in ("", 7, "x" * 101)),
    *(("number", value) for value in (0, -1, 2**53, "1", True, None)),
    *(("is_ready", value) for value in (1, None, False)),
    *(("sent_at", value) for value in (7, None)),
    ("lateness_s", "1"),
    ("lateness_s", 7),
    ("lateness_s", 10**400),
    ("checked_monitors", -1),
    ("shares_checks", "no"),
    ("is_isolated", "no"),
    ("votes", {}),
    ("votes", [7]),
    ("votes", [{**VOTE, "more": 1}]),
    ("votes", [{**VOTE, "state": "broken"}]),
    ("votes", [{**VOTE, "reason": "of a later release"}]),
    ("votes", [{**VOTE, "monitor": ""}]),
    ("votes", [VOTE] * 501),
    ("changes", {"hub": "x", "number": 0}),
    ("changes", {"hub": "x"}),
    ("changes", None),
    ("host_monitors", [{}]),
    ("host_monitors", [HOST_MONITOR, {**HOST_MONITOR, "state": None, "since": None}]),
    ("host_monitors", [{**HOST_MONITOR, "tags": "web"}]),
    ("host_names", ["nginx"]),
    ("host_names", [7]),
    ("follows_decisions", 1),
    ("heartbeats", [{}]),
    ("heartbeats", [HEARTBEAT]),
    ("heartbeats", [{**HEARTBEAT, "last_signal_at": None}]),
    ("heartbeats", [{**HEARTBEAT, "node": "fra1"}]),
    ("heartbeats", [{**HEARTBEAT, "starts": [START] * 4}]),
    ("heartbeats", [{**HEARTBEAT, "starts": [START] * 5}]),
    ("heartbeats", [{**HEARTBEAT, "starts": [{"at": START["at"]}]}]),
    ("heartbeats", [{**HEARTBEAT, "ends": [END, {**END, "signal": "fail", "exit_status": 3}]}]),
    ("heartbeats", [{**HEARTBEAT, "ends": [{**END, "signal": "log"}]}]),
    ("heartbeats", [{**HEARTBEAT, "ends": [{**END, "exit_status": 256}]}]),
    ("heartbeats", [{**HEARTBEAT, "message": "x" * 10_241}]),
    ("alerts", []),
    ("alerts", {"shop": None}),
    ("run", ""),
    ("more", 1),
]
BODIES: list[Any] = [
    {},
    report(),
    {**report(), "votes": []},
    *({**report(), key: value} for key, value in VALUES),
    [],
]


async def test_report_is_accepted_exactly_if_its_schema_accepts_it(tmp_path: Path) -> None:
    async with hub(path=tmp_path / "socket") as at:
        document = (await described(at._client)).document
        rules = {"$ref": "#/components/schemas/NewReport", "components": document["components"]}
        for number, body in enumerate(BODIES):
            # Each is the first report of another agent, so that none is a repeated report or a conflict.
            if isinstance(body, dict) and body.get("node") == "branch1":
                body["node"] = f"branch{number}"
            response = await at._client.post(PATH, json=body)
            assert (response.status == 200) == is_valid(rules, body), (body, response.text)
            assert response.status in {200, 400}, (body, response.text)


async def test_answers_conform_to_the_document(tmp_path: Path) -> None:
    async with hub(path=tmp_path / "socket") as at:
        ask = await described(at._client)
        node = at.world.node
        for item in (
            ClusterDecision("shop", State.DOWN, BEGAN, Reason.REFUSED, "down at fra", 3),
            vote("fra", State.DOWN),
            Intervention(InterventionKind.PAUSE, "shop", None),
        ):
            assert node.hub is not None
            node.hub.feed.note(item)
        changes = (await ask("POST", "/reports", report())).json()["changes"]
        assert [len(changes[key]) for key in ("decisions", "votes", "interventions")] == [1, 1, 1]
        assert (await ask("POST", "/reports", {**report(), "run": "another"})).status == 409
        at.world.database.is_disconnected = True
        assert (await ask("POST", "/reports", report())).status == 503


async def test_large_report_is_rejected() -> None:
    async with hub() as at:
        response = await at.post(json.dumps({**report(), "version": "x" * 1024 * 1024}).encode())
        assert response.status == 413
        assert at.server.nodes == {}


async def test_report_is_not_acknowledged_without_the_database() -> None:
    async with hub() as at:
        at.world.database.is_disconnected = True
        response = await at.report()
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
        at.world.database.is_disconnected = False
        assert (await at.report()).status == 200


async def test_name_of_a_live_node_is_a_conflict() -> None:
    async with hub() as at:
        assert (await at.report()).status == 200
        response = await at.report(run="another")
        assert response.status == 409
        assert "another daemon takes part in the cluster as the node branch1" in response.json()["detail"]


async def test_daemon_without_a_database_is_not_a_hub() -> None:
    async with asked(make_world()) as client:
        response = await client.post(PATH, json=report())
        assert response.status == 404
        assert "this daemon is not a hub" in response.json()["detail"]


# -- the client of an agent ----------------------------------------------------------------------------------


@asynccontextmanager
async def agent(*urls: str, token: str = REPORT) -> AsyncIterator[HubStore]:
    client = HttpClient(user_agent="test", resolver=Resolver(), tls_contexts=TlsContexts())
    store = HubStore(HubSettings(urls, Secret(token)), client, FakeClock())
    try:
        yield store
    finally:
        await store.close()
        await client.close()


NODE = Node("branch1", "branch", True, "1.0", "hash", 0.5, 7)


async def test_agent_reports_over_one_connection() -> None:
    async with hub() as at, agent(at.url) as store:
        for state in (State.DOWN, State.UP):
            membership = await store.beat(NODE, [vote("branch", state)])
            assert membership.live_nodes() == ("branch1",)
            assert at.server.votes["shop", "branch"].state is state
        assert at._client.server.connection_count == 1
        view = store.view(0, 0)
        assert [(hub.url, hub.is_current, hub.error) for hub in view.hubs] == [(at.url, True, None)]
        assert view.acknowledged == 2


async def test_agent_reports_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    async with hub(path=path) as at, agent("http+unix://" + str(path).replace("/", "%2F")) as store:
        await store.beat(NODE, [])
        assert at.server.is_live("branch1")


async def test_agent_shows_why_no_hub_accepts_its_reports() -> None:
    async with hub() as one, hub() as other, agent(one.url, other.url, token="token-of-the-phone") as store:
        with pytest.raises(ClusterError) as caught:
            await store.beat(NODE, [])
        assert str(caught.value).count("HTTP 403: the token phone does not permit this") == 2
        assert 'give the token rights = "report"' in str(caught.value)


async def test_agent_fails_over_to_the_next_hub() -> None:
    async with hub() as one, hub() as other, agent("http://127.0.0.1:1", one.url, other.url) as store:
        one.world.database.is_disconnected = True
        await store.beat(NODE, [vote("branch", State.DOWN)])
        assert other.server.votes["shop", "branch"].state is State.DOWN
        assert [hub.is_current for hub in store.view(0, 0).hubs] == [False, False, True]


async def test_agent_learns_that_its_name_is_taken() -> None:
    async with hub() as at, agent(at.url) as one, agent(at.url) as other:
        await one.beat(NODE, [])
        with pytest.raises(NodeNameError, match="HTTP 409: another daemon takes part"):
            await other.beat(NODE, [])


async def test_answer_of_another_server_is_an_error() -> None:
    world = make_world()
    async with (
        SocketClient(world.status_application) as client,
        agent(f"http://127.0.0.1:{client.server.port}") as store,
    ):
        with pytest.raises(ClusterError, match="HTTP 401: no token is configured"):
            await store.beat(NODE, [])
    await world.close()


async def test_heartbeat_grows_old_without_reports() -> None:
    async with hub() as at, agent(at.url) as store:
        await store.beat(NODE, [])
        at.server.clock.skipped_s += LIVE_S + 1  # type: ignore[attr-defined]  # a FakeClock
        membership = await store.beat(NODE, [])
        assert membership.was_stale
