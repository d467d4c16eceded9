"""Authorization by transport: over real sockets, with the header fields of browsers, proxies and scripts."""

import asyncio
import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.cli.client.connection import Client, DaemonAddress
from monitord.config import Secret
from monitord.journal_events import JournalEvent
from monitord.model import TokenRights
from monitord.status import AccessPolicy, AccessToken, TrustedProxy
from monitord.status.access.security import (
    CLAIM_HEADER,
    FAILURES_WITHIN_S,
    HEADERS,
    MAX_FAILURES,
    MAX_LOGGED,
    name_of,
    require_change_rights,
)
from monitord.web import Application, HTTPForbidden, Peer, Request, Response, Server, json_response
from monitord.web.peer import client_network
from monitord.web.testing import ClientConnection, ClientResponse, SocketClient
from tests.endpoint import StatusWorld, make_world

TOKEN = "a-token-of-twenty-or-more"
POLICY = AccessPolicy(
    allowed_hosts=frozenset({"monitor.example.org"}), tokens=(AccessToken("ops", Secret(TOKEN)),)
)
BEARER = f"Bearer {TOKEN}"


class SecurityClient:
    """Sends requests with any Host."""

    def __init__(self, world: StatusWorld, client: SocketClient) -> None:
        self.world = world
        self._client = client
        self._local_address: str | None = None

    @property
    def port(self) -> int:
        return self._client.server.port

    async def __call__(self, method: str, target: str, **fields: str) -> ClientResponse:
        """`fields` have underscores in their names. `host` None: the address; empty: no Host field."""
        fields = (
            {"host": f"127.0.0.1:{self.port}", **fields} if self._is_tcp else {"host": "localhost", **fields}
        )
        version = "1.1" if fields["host"] else "1.0"
        lines = [
            f"{method} {target} HTTP/{version}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value),
            "Content-Length: 0",
        ]
        async with await self._connect() as connection:
            await connection.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
            return await connection.response(method)

    async def from_address(self, address: str, method: str, target: str, **fields: str) -> ClientResponse:
        """Send a request over TCP from another loopback address."""
        self._local_address = address
        try:
            return await self(method, target, **fields)
        finally:
            self._local_address = None

    async def _connect(self) -> ClientConnection:
        if self._local_address is None:
            return await self._client.connect()
        opened = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self._local_address, 0))
        return ClientConnection(*opened)

    @property
    def _is_tcp(self) -> bool:
        return self._client._path is None


@asynccontextmanager
async def over(path: Path | None, policy: AccessPolicy = POLICY) -> AsyncIterator[SecurityClient]:
    world = make_world(policy=policy)
    try:
        async with SocketClient(world.status_application, path=path) as client:
            yield SecurityClient(world, client)
    finally:
        await world.close()


HOSTS = [
    pytest.param("127.0.0.1", 200, id="the_address"),
    pytest.param("127.0.0.1:9120", 200, id="the_address_with_a_port"),
    pytest.param("localhost:9120", 200, id="localhost"),
    pytest.param("LocalHost.", 200, id="localhost_in_full"),
    pytest.param("monitor.example.org", 200, id="a_name_of_ours"),
    pytest.param("Monitor.Example.org:443", 200, id="a_name_of_ours_in_capitals"),
    pytest.param("", 200, id="none_at_all"),
    pytest.param("evil.example.com", 421, id="somebody_elses_name"),
    pytest.param("127.0.0.1.evil.example.com", 421, id="a_name_that_begins_like_it"),
    pytest.param("localhost.evil.example.com", 421, id="a_name_that_begins_like_localhost"),
    pytest.param("192.0.2.1", 421, id="another_address"),
    pytest.param("[::1]:9120", 421, id="an_address_of_the_other_family"),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_tcp_accepts_only_local_and_configured_hosts(host: str, status: int) -> None:
    async with over(None) as ask:
        for target in ("/status", "/api/v1/status", "/api/v1/nothing"):
            response = await ask("GET", target, host=host)
            wanted = 404 if status == 200 and "nothing" in target else status
            assert response.status == wanted


UNIX_HOSTS = [
    pytest.param("localhost", 200, id="localhost"),
    pytest.param("localhost:8080", 200, id="localhost_with_the_port_of_ssh"),
    pytest.param("LOCALHOST.:8080", 200, id="localhost_in_capitals_with_final_dot"),
    pytest.param("127.0.0.1:8080", 200, id="loopback_address"),
    pytest.param("127.9.9.9", 200, id="another_loopback_address"),
    pytest.param("[::1]:8080", 200, id="loopback_address_of_ipv6"),
    pytest.param("[0:0:0:0:0:0:0:1]", 200, id="the_same_written_out"),
    pytest.param("[::ffff:127.0.0.1]:80", 200, id="mapped_loopback_address"),
    pytest.param("monitor.example.org", 200, id="configured_name"),
    pytest.param("MONITOR.example.org.:8443", 200, id="configured_name_written_otherwise"),
    pytest.param("", 200, id="no_host"),
    pytest.param("evil.example.com", 421, id="foreign_name"),
    pytest.param("evil.example.com.:8080", 421, id="foreign_name_with_final_dot"),
    pytest.param("localhost.evil.example.com:8080", 421, id="foreign_name_beginning_with_localhost"),
    pytest.param("127.0.0.1.evil.example.com", 421, id="foreign_name_beginning_with_an_address"),
    pytest.param("notlocalhost", 421, id="foreign_name_ending_with_localhost"),
    pytest.param(
        "monitor.example.org.evil.example.com", 421, id="foreign_name_beginning_with_a_configured_one"
    ),
    pytest.param("192.0.2.1:8080", 421, id="foreign_address"),
    pytest.param("[2001:db8::1]", 421, id="foreign_address_of_ipv6"),
    pytest.param("0.0.0.0", 421, id="unspecified_address"),
    pytest.param("2130706433", 421, id="address_as_one_number"),
    pytest.param(".", 421, id="only_a_dot"),
    pytest.param("localhost..", 421, id="two_final_dots"),
]


@pytest.mark.parametrize(("host", "status"), UNIX_HOSTS)
async def test_unix_socket_accepts_only_local_and_configured_hosts(
    tmp_path: Path, host: str, status: int
) -> None:
    async with over(tmp_path / "s") as ask:
        for target in ("/", "/status", "/healthz", "/metrics", "/api/v1/status", "/api/v1/events?bad"):
            wanted = 400 if status == 200 and "events" in target else status
            assert (await ask("GET", target, host=host)).status == wanted
        origin = {"origin": f"http://{host}"} if host else {}
        response = await ask("POST", "/api/v1/monitors/good/pause", host=host, **origin)
        assert response.status == status
        assert len(ask.world.interventions.asked) == (status == 200)


async def test_rejected_host_is_answered_with_the_option_to_set(tmp_path: Path) -> None:
    async with over(tmp_path / "s") as ask:
        response = await ask("GET", "/status", host="Status.example.org:8080")
        assert response.status == 421
        assert 'allowed_hosts = ["status.example.org"] in [status]' in response.text


@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
async def test_host_is_taken_from_the_request_target_before_the_field(
    tmp_path: Path, *, is_tcp: bool
) -> None:
    async with over(None if is_tcp else tmp_path / "s") as ask:
        local = "localhost"
        # RFC 9112 section 3.2.2: the target in absolute form replaces Host.
        assert (await ask("GET", "http://evil.example.com/status", host=local)).status == 421
        assert (await ask("GET", f"http://{local}/status", host="evil.example.com")).status == 200
        assert (await ask("GET", "/status", host="evil.example.com", x_forwarded_host=local)).status == 421
        assert (await ask("GET", "/status", host=local, x_forwarded_host="evil.example.com")).status == 200
        for malformed in (
            f"{local}@evil.example.com",
            f"evil.example.com, {local}",
            f"{local}/evil.example.com",
        ):
            assert (await ask("GET", "/status", host=malformed)).status == 400


async def test_localhost_is_accepted_on_the_ipv6_loopback() -> None:
    world = make_world(policy=POLICY)
    try:
        async with Server(world.status_application, host="::1", port=0) as server:
            for host, status in (("[::1]", 200), ("localhost", 200), ("127.0.0.1", 421)):
                reader, writer = await asyncio.open_connection("::1", server.port)
                async with ClientConnection(reader, writer) as connection:
                    await connection.send(f"GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    assert (await connection.response()).status == status
    finally:
        await world.close()


CHANGES = [
    pytest.param({}, 401, id="nothing"),
    pytest.param({"authorization": BEARER}, 200, id="the_token"),
    pytest.param({"authorization": f"bearer  {TOKEN}"}, 200, id="the_token_written_otherwise"),
    pytest.param({"authorization": f"Bearer {TOKEN}x"}, 401, id="a_wrong_token"),
    pytest.param({"authorization": "Bearer \u00e9".encode().decode("latin-1")}, 401, id="no_ascii"),
    pytest.param({"authorization": f"Basic {TOKEN}"}, 401, id="another_scheme"),
    pytest.param({"authorization": BEARER, "origin": "https://evil.example.com"}, 403, id="another_site"),
    pytest.param({"authorization": BEARER, "origin": "null"}, 403, id="a_site_that_hides"),
    pytest.param({"authorization": BEARER, "origin": "http://[::1"}, 403, id="a_site_that_is_none"),
    pytest.param({"authorization": BEARER, "origin": "https://monitor.example.org"}, 200, id="our_site"),
    pytest.param(
        {"authorization": BEARER, "origin": "http://monitor.example.org:x@evil.example.com"},
        403,
        id="our_name_as_user",
    ),
    pytest.param(
        {"authorization": BEARER, "origin": "http://monitor.example.org@evil.example.com"},
        403,
        id="our_name_as_user_alone",
    ),
    pytest.param(
        {"authorization": BEARER, "origin": "https://monitor.example.org.evil.example.com"},
        403,
        id="begins_like_our_name",
    ),
    pytest.param(
        {"authorization": BEARER, "origin": "ftp://monitor.example.org"}, 403, id="another_protocol"
    ),
    pytest.param(
        {"authorization": BEARER, "origin": "monitor.example.org"}, 403, id="origin_without_protocol"
    ),
    pytest.param(
        {"authorization": BEARER, "origin": "http://127.0.0.1:1"}, 403, id="another_port_of_this_host"
    ),
    pytest.param({"authorization": BEARER, "sec_fetch_site": "cross-site"}, 403, id="said_by_the_browser"),
    pytest.param({"authorization": BEARER, "sec_fetch_site": "same-site"}, 403, id="a_site_beside_ours"),
    pytest.param({"authorization": BEARER, "sec_fetch_site": "none, cross-site"}, 403, id="two_values"),
    pytest.param(
        {"authorization": BEARER, "origin": "https://monitor.example.org", "sec_fetch_site": "same-site"},
        403,
        id="our_name_on_another_port",
    ),
    pytest.param(
        {
            "authorization": BEARER,
            "origin": "https://MONITOR.example.org:443",
            "sec_fetch_site": "same-origin",
        },
        200,
        id="our_site_in_capitals",
    ),
    pytest.param({"authorization": BEARER, "sec_fetch_site": "same-origin"}, 200, id="our_page"),
]


@pytest.mark.parametrize(("fields", "status"), CHANGES)
async def test_changes_over_tcp_require_the_token_and_a_page_of_the_daemon(
    fields: dict[str, str], status: int
) -> None:
    async with over(None) as ask:
        response = await ask("POST", "/api/v1/monitors/good/check", **fields)
        assert response.status == status
        assert len(ask.world.control.asked) == (status == 200)
        if status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.headers["Content-Type"] == "application/problem+json"
        elif status == 200:
            assert ask.world.control.asked == ["token ops, from 127.0.0.1"]


TOKENS = {
    rights: AccessToken(rights.value, Secret(f"{TOKEN}-{rights.value}"), rights) for rights in TokenRights
}


@pytest.mark.parametrize(
    ("target", "rights"),
    [
        ("/api/v1/monitors/bad/acknowledge", {TokenRights.ACKNOWLEDGE, TokenRights.ALL}),
        ("/api/v1/acknowledge", {TokenRights.ACKNOWLEDGE, TokenRights.ALL}),
        ("/api/v1/unacknowledge", {TokenRights.ACKNOWLEDGE, TokenRights.ALL}),
        ("/api/v1/reports", {TokenRights.REPORT, TokenRights.ALL}),
        ("/api/v1/reports/", {TokenRights.ALL}),
        ("/api/v1/monitors/bad/pause", {TokenRights.ALL}),
        ("/api/v1/monitors/acknowledge/pause", {TokenRights.ALL}),
        ("/api/v1/silences", {TokenRights.ALL}),
        ("/api/v1/posts", {TokenRights.ALL}),
        ("/api/v1/posts/acknowledge/updates", {TokenRights.ALL}),
        ("/reload", {TokenRights.ALL}),
        ("/heartbeats/bad", {TokenRights.ALL}),
    ],
)
async def test_rights_of_a_token_limit_the_changes(target: str, rights: set[TokenRights]) -> None:
    async with over(None, AccessPolicy(tokens=tuple(TOKENS.values()))) as ask:
        for token in TOKENS.values():
            answer = await ask("POST", target, authorization=f"Bearer {token.secret.reveal()}")
            assert (answer.status == 403) is (token.rights not in rights)
            if token.rights not in rights:
                assert f"the token {token.name} does not permit this" in answer.text


async def test_changes_are_recorded_under_the_name_of_the_token() -> None:
    tokens = (AccessToken("ann", Secret("token-of-ann")), AccessToken("bob", Secret("token-of-bob")))
    async with over(None, AccessPolicy(tokens=tokens)) as ask:
        for token in tokens:
            await ask("POST", "/reload", authorization=f"Bearer {token.secret.reveal()}")
        assert ask.world.control.asked == ["token ann, from 127.0.0.1", "token bob, from 127.0.0.1"]
        assert (await ask("POST", "/reload", authorization="Bearer token-of-eve")).status == 401


async def test_changes_over_tcp_are_forbidden_without_a_configured_token() -> None:
    async with over(None, AccessPolicy()) as ask:
        for fields in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
            assert (await ask("POST", "/reload", **fields)).status in {401, 403}
        assert "Unix socket" in (await ask("POST", "/reload")).text
        assert (await ask("GET", "/status")).status == 200


async def test_peer_of_the_unix_socket_is_identified_by_the_kernel(tmp_path: Path) -> None:
    async with over(tmp_path / "s") as ask:
        assert (await ask("POST", "/api/v1/reload")).status == 200
        assert ask.world.control.asked == [f"{name_of(os.geteuid())}, pid {os.getpid()}"]


@pytest.mark.parametrize(
    "field",
    [
        "x_forwarded_for",
        "forwarded",
        "x_real_ip",
        "via",
        "x_forwarded_host",
        "x_forwarded_proto",
        "X_FORWARDED_Port",
    ],
)
async def test_forwarded_changes_require_the_token(tmp_path: Path, field: str) -> None:
    async with over(tmp_path / "s") as ask:
        passed_on = {field: "203.0.113.9"}
        assert (await ask("GET", "/status", **passed_on)).status == 200
        assert (await ask("POST", "/reload", **passed_on)).status == 401
        assert (await ask("POST", "/reload", authorization=BEARER, **passed_on)).status == 200


async def test_pages_of_other_sites_change_nothing_over_the_unix_socket(tmp_path: Path) -> None:
    async with over(tmp_path / "s") as ask:
        assert (await ask("POST", "/reload", origin="https://evil.example.com")).status == 403
        assert (await ask("POST", "/reload", origin="http://localhost")).status == 200
        assert (await ask("POST", "/reload", origin="http://localhost:3000")).status == 403
        assert (await ask("POST", "/reload", origin="null")).status == 403
        own = {"host": "localhost:8080", "origin": "http://localhost:8080", "sec_fetch_site": "same-origin"}
        assert (await ask("POST", "/reload", **own)).status == 200


@pytest.mark.parametrize(
    ("address", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("the Unix socket", "192.0.2.1", False),
    ],
)
def test_addresses_of_a_network_are_counted_together(address: str, other: str, is_same: bool) -> None:
    assert (client_network(address) == client_network(other)) is is_same


async def test_invalid_tokens_are_limited_for_a_minute(tmp_path: Path) -> None:
    async with over(None) as ask:
        for _ in range(MAX_FAILURES):
            assert (await ask("POST", "/reload", authorization="Bearer guess")).status == 401
        refused = await ask("POST", "/reload", authorization=BEARER)
        assert refused.status == 429
        assert 0 < int(refused.headers["Retry-After"]) <= FAILURES_WITHIN_S + 1
        ask.world.clock.skipped_s = FAILURES_WITHIN_S + 1
        assert (await ask("POST", "/reload", authorization=BEARER)).status == 200


async def test_invalid_tokens_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with over(None) as ask:
        for _ in range(MAX_FAILURES + 3):
            await ask(
                "POST",
                "/api/v1/reload?x=1",
                authorization="Bearer guessed-secret",
                x_forwarded_for="203.0.113.9\x9b2J",
            )
        assert ask.world.access.rejected_tokens == MAX_FAILURES + 3
    lines = [record for record in caplog.records if "token" in record.getMessage()]
    assert [line.getMessage() for line in lines] == [
        'invalid token from 127.0.0.1 (X-Forwarded-For: "203.0.113.9\N{REPLACEMENT CHARACTER}2J")'
        " for POST /api/v1/reload",
        'invalid token from 127.0.0.1 (X-Forwarded-For: "203.0.113.9\N{REPLACEMENT CHARACTER}2J")'
        " for POST /api/v1/reload; 10 within 60 s: all tokens from this network are rejected for the rest of this time",
    ]
    for line in lines:
        assert line.levelname == "WARNING"
        assert vars(line)["message_id"] == JournalEvent.TOKEN_REJECTED.message_id
        assert vars(line)["fields"] == {"CLIENT_ADDRESS": "127.0.0.1"}
    assert "guessed-secret" not in caplog.text


async def test_invalid_tokens_from_many_addresses_do_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with over(None) as ask:
        for number in range(MAX_LOGGED + 5):
            await ask.from_address(f"127.0.2.{number + 1}", "POST", "/reload", authorization="Bearer x")
        assert len([message for message in caplog.messages if "token" in message]) == MAX_LOGGED
        ask.world.clock.skipped_s = FAILURES_WITHIN_S + 1
        await ask.from_address("127.0.3.1", "POST", "/reload", authorization="Bearer x")
    assert (
        caplog.messages[-1]
        == "invalid token from 127.0.3.1 for POST /reload; not logged: 5 messages of this kind"
    )


async def test_every_response_has_the_security_headers() -> None:
    async with over(None) as ask:
        for method, target, status in (
            ("GET", "/status", 200),
            ("GET", "/healthz", 200),
            ("GET", "/nothing", 404),
            ("GET", "/api/v1/nothing", 404),
            ("POST", "/reload", 401),
        ):
            response = await ask(method, target)
            assert response.status == status
            for name, value in HEADERS.items():
                if name != "Cache-Control":
                    assert response.headers[name] == value
            assert not [name for name in response.headers if name.lower().startswith("access-control-")]


def test_user_is_named_by_the_local_accounts() -> None:
    assert name_of(0) == "root (uid 0)"
    assert name_of(65534) == "a member of the daemon's group"
    assert name_of(4_000_000) == "uid 4000000"


@pytest.mark.parametrize(
    ("uid", "claimed", "recorded"),
    [
        pytest.param(
            65534, "ann", "ann (claimed by a member of the daemon's group), pid 7", id="hidden_user"
        ),
        pytest.param(65534, "", "a member of the daemon's group, pid 7", id="no_claim"),
        pytest.param(65534, "root (uid 0), pid 1", "a member of the daemon's group, pid 7", id="not_a_name"),
        pytest.param(65534, "a" * 101, "a member of the daemon's group, pid 7", id="long"),
        pytest.param(0, "ann", "root (uid 0), pid 7", id="known_user"),
    ],
)
def test_claimed_name_is_recorded_as_a_claim_of_users_that_the_sandbox_hides(
    uid: int, claimed: str, recorded: str
) -> None:
    assert require_change_rights(Peer(uid=uid, gid=os.getegid(), pid=7), claimed) == recorded


async def test_monitorctl_claims_the_name_of_its_user_for_changes_over_the_unix_socket(
    tmp_path: Path,
) -> None:
    async def claim(request: Request) -> Response:
        return json_response({"claim": request.headers.get(CLAIM_HEADER)})

    app = Application()
    app.router.add_get("/", claim)
    app.router.add_post("/", claim)
    user = pwd.getpwuid(os.getuid()).pw_name
    async with Server(app, path=tmp_path / "s"), Server(app, host="127.0.0.1", port=0) as tcp:
        over_unix, over_tcp = (
            Client(tmp_path / "s"),
            Client(DaemonAddress(tmp_path / "s", f"http://127.0.0.1:{tcp.port}")),
        )
        assert await asyncio.to_thread(over_unix.post, "/") == {"claim": user}
        assert await asyncio.to_thread(over_unix.get, "/") == {"claim": None}
        assert await asyncio.to_thread(over_tcp.post, "/") == {"claim": None}


def test_claimed_name_gives_no_rights() -> None:
    with pytest.raises(HTTPForbidden):
        require_change_rights(Peer(uid=65534, gid=os.getegid() + 1, pid=7), "root")


# -- the socket of a proxy with a login -------------------------------------------------------------------


@asynccontextmanager
async def over_proxy_socket(path: Path, policy_path: Path | None = None) -> AsyncIterator[SecurityClient]:
    """A client of a socket at `path`; that of the trusted proxy is at `policy_path`, by default the same."""
    proxy = TrustedProxy(str(policy_path or path), "X-Remote-User")
    world = make_world(policy=replace(POLICY, proxy=proxy))
    try:
        # As the service manager does: the server itself would bind a temporary name.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            async with Server(world.status_application, sockets=[listener]):
                yield SecurityClient(world, SocketClient(world.status_application, path=path))
    finally:
        await world.close()


async def test_user_that_the_trusted_proxy_names_can_make_changes(tmp_path: Path) -> None:
    async with over_proxy_socket(tmp_path / "login") as ask:
        # Nginx adds X-Forwarded-For, and the browser the fields of its page.
        answer = await ask(
            *("POST", "/reload"),
            host="monitor.example.org",
            x_forwarded_for="192.0.2.1",
            x_remote_user="ann",
            origin="https://monitor.example.org",
        )
        assert answer.status == 200
        assert ask.world.control.asked == ["ann (via proxy)"]


NO_USER = {
    "none": {},
    "empty": {"x_remote_user": " "},
    "two": {"x_remote_user": "ann\r\nX-Remote-User: root"},
    "long": {"x_remote_user": "a" * 101},
    "unprintable": {"x_remote_user": "ann\x9bm"},
    "other field": {"x_user": "ann"},
}


@pytest.mark.parametrize("fields", NO_USER.values(), ids=NO_USER)
async def test_request_without_a_user_can_only_read_on_the_socket_of_the_proxy(
    tmp_path: Path, fields: dict[str, str]
) -> None:
    """Even though the peer, this process, has write access on another socket."""
    async with over_proxy_socket(tmp_path / "login") as ask:
        answer = await ask("POST", "/reload", **fields)
        assert (answer.status, answer.text) == (
            403,
            "changes through the proxy require a login; the proxy has named no user\n",
        )
        assert (await ask("GET", "/status", **fields)).status == 200
        assert ask.world.control.asked == []


@pytest.mark.parametrize("is_tcp", [True, False], ids=["tcp", "unix"])
async def test_user_header_is_ignored_on_all_other_sockets(tmp_path: Path, is_tcp: bool) -> None:
    policy = replace(POLICY, proxy=TrustedProxy(str(tmp_path / "login"), "X-Remote-User"))
    async with over(None if is_tcp else tmp_path / "status", policy) as ask:
        answer = await ask("POST", "/reload", x_remote_user="ann", x_forwarded_for="192.0.2.1")
        assert answer.status == 401
    async with over_proxy_socket(tmp_path / "other", tmp_path / "login") as ask:
        assert (await ask("POST", "/reload", x_remote_user="ann")).status == 200
        assert ask.world.control.asked == [f"{name_of(os.geteuid())}, pid {os.getpid()}"]


async def test_pages_of_other_sites_cannot_use_the_login_of_the_proxy(tmp_path: Path) -> None:
    async with over_proxy_socket(tmp_path / "login") as ask:
        for fields in ({"origin": "https://evil.example.com"}, {"sec_fetch_site": "cross-site"}):
            assert (await ask("POST", "/reload", x_remote_user="ann", **fields)).status == 403
        # A form without both fields does not come from a browser.
        assert (await ask("POST", "/m/good/pause", x_remote_user="ann")).status == 403
        own = {"host": "monitor.example.org", "origin": "https://monitor.example.org"}
        assert (await ask("POST", "/m/good/pause", x_remote_user="ann", **own)).status == 303
        assert ask.world.interventions.asked == [("pause", "good", "ann (via proxy)", "")]


async def test_forms_are_shown_to_users_of_the_trusted_proxy(tmp_path: Path) -> None:
    async with over_proxy_socket(tmp_path / "login") as ask:
        fields = {"accept": "text/html", "x_forwarded_for": "192.0.2.1"}
        with_login = await ask("GET", "/m/good", **fields, x_remote_user="ann")
        without = await ask("GET", "/m/good", **fields)
    assert 'action="../m/good/check"' in with_login.text
    assert 'method="post"' not in without.text
