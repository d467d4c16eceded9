"""Exchanges with real servers: the fields of an exchange and the effect of each option."""

import asyncio
import base64
import gzip
import socket
import zlib
from pathlib import Path

import pytest

from monitord.net import (
    FailureKind,
    HttpClient,
    HttpExchange,
    HttpFailure,
    HttpRequest,
    IpFamily,
    Phase,
    Resolver,
    TlsContexts,
    TlsOptions,
    parse_endpoint,
)
from tests.certificates import Authority
from tests.net.conftest import exchange, failure, in_time, soon
from tests.servers import Peer, Script, free_port, has_ipv6, respond, send_raw, serve

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 on the loopback")


# Result of an exchange


async def test_exchange_has_status_body_address_and_time(client: HttpClient) -> None:
    async with serve(respond(body=b"hello", headers={"X-Colour": "blue"})) as server:
        seen = await exchange(
            client, HttpRequest(url=f"http://one.test:{server.port}/path?q=1", read_body=True)
        )

    assert (seen.status, seen.body, seen.body_bytes, seen.http_version) == (200, b"hello", 5, "1.1")
    assert seen.headers["x-colour"] == "blue"
    assert (seen.address, seen.ip_version, seen.redirects, seen.tls) == ("127.0.0.1", 4, 0, None)
    assert set(seen.phases) == set(Phase)
    assert seen.phases[Phase.TLS] == 0.0
    for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.PROCESSING, Phase.TRANSFER):
        assert seen.phases[phase] > 0
    assert sum(seen.phases.values()) <= seen.duration_s
    request = server.requests[0]
    assert (request.method, request.target) == ("GET", "/path?q=1")
    assert request.headers["host"] == f"one.test:{server.port}"
    assert request.headers["user-agent"] == "tester/1.0"
    assert request.headers["connection"] == "close"
    assert "accept-encoding" not in request.headers


async def test_phases_contain_the_delays_of_the_server(client: HttpClient) -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.05)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await asyncio.sleep(0.1)
        await peer.send(b"k")

    async with serve(slow) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))

    assert seen.phases[Phase.PROCESSING] >= 0.05
    assert seen.phases[Phase.TRANSFER] >= 0.09
    assert seen.phases[Phase.RESOLVE] == 0.0


async def test_each_exchange_opens_a_connection(client: HttpClient) -> None:
    async with serve(respond()) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/")
        for _ in range(3):
            await exchange(client, request)
    assert server.connections == 3


async def test_connection_is_kept_with_reuse_connection(client: HttpClient) -> None:
    async with serve(respond()) as server:
        request = HttpRequest(url=f"http://127.0.0.1:{server.port}/", reuse_connection=True)
        first, second = await exchange(client, request), await exchange(client, request)
        assert server.connections == 1
        assert (first.address, second.address) == ("127.0.0.1", "127.0.0.1")
        await client.forget(request)
        await exchange(client, request)
    assert server.connections == 2


async def test_kept_tls_connection_reports_its_certificate(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("one.test", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        request = HttpRequest(
            url=f"https://one.test:{server.port}/",
            tls=TlsOptions(ca_file=ca_file),
            reuse_connection=True,
            want_certificate=True,
        )
        first, second = await exchange(client, request), await exchange(client, request)
    assert server.connections == 1
    assert first.tls == second.tls
    assert second.phases[Phase.TLS] == 0.0


async def test_unread_body_is_counted(client: HttpClient) -> None:
    async with serve(respond(body=b"x" * 200_000)) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    assert (seen.body, seen.body_bytes) == (None, 200_000)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello" * 1000)),
        ("deflate", zlib.compress(b"hello" * 1000)),
    ],
    ids=["gzip", "deflate"],
)
async def test_compressed_body_is_decoded(client: HttpClient, encoding: str, packed: bytes) -> None:
    async with serve(respond(body=packed, headers={"Content-Encoding": encoding})) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True))
    assert (seen.body, seen.body_bytes) == (b"hello" * 1000, len(packed))


async def test_decoded_body_is_limited(client: HttpClient) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    async with serve(respond(body=bomb, headers={"Content-Encoding": "gzip"})) as server:
        seen = await failure(
            client,
            HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True, max_body_bytes=100_000),
        )
    assert seen.kind is FailureKind.TOO_LARGE


async def test_response_of_http_1_0_ends_with_the_connection(client: HttpClient) -> None:
    async with serve(send_raw(b"HTTP/1.0 200 OK\r\n\r\nhello")) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/", read_body=True))
    assert (seen.http_version, seen.body) == ("1.0", b"hello")


async def test_early_response_to_a_large_body_is_accepted(client: HttpClient) -> None:
    async def reject(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.hang()

    async with serve(reject) as server:
        seen = await exchange(
            client,
            HttpRequest(url=f"http://127.0.0.1:{server.port}/", method="POST", body=b"x" * 1024 * 1024),
        )
    assert seen.status == 413


# Sent requests


async def test_method_headers_and_body_are_sent(client: HttpClient) -> None:
    async with serve(respond()) as server:
        await exchange(
            client,
            HttpRequest(
                url=f"http://127.0.0.1:{server.port}/",
                method="PUT",
                headers=(
                    ("X-One", "1"),
                    ("Host", "other.example"),
                    ("User-Agent", "mine"),
                    ("Content-Type", "a/b"),
                ),
                body=b"payload",
            ),
        )
    request = server.requests[0]
    assert (request.method, request.body) == ("PUT", b"payload")
    assert request.headers["x-one"] == "1"
    assert request.headers["host"] == "other.example"
    assert request.headers["user-agent"] == "mine"
    assert request.headers["content-type"] == "a/b"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b""], ids=["continue", "final only"])
async def test_body_is_sent_without_waiting_for_100_continue(client: HttpClient, interim: bytes) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(interim)
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serve(answer) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/",
            method="POST",
            headers=(("Expect", "100-continue"),),
            body=b"hello",
        )
        seen = await exchange(client, request)

    assert seen.status == 200
    assert (server.requests[0].headers["expect"], server.requests[0].body) == ("100-continue", b"hello")


@pytest.mark.parametrize("reuse", [False, True])
async def test_upgrade_request_sends_the_connection_header(client: HttpClient, reuse: bool) -> None:
    async with serve(send_raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")) as server:
        request = HttpRequest(
            url=f"http://127.0.0.1:{server.port}/",
            headers=(("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
            reuse_connection=reuse,
        )
        seen = await exchange(client, request)
        await client.forget(request)

    assert seen.status == 101
    assert server.requests[0].headers["connection"] == "Upgrade"


async def test_response_to_head_has_no_body(client: HttpClient) -> None:
    async def head(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")

    async with serve(head) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/", method="HEAD"))
    assert (seen.status, seen.body_bytes) == (200, 0)


@pytest.mark.parametrize(
    ("url", "basic", "bearer_token", "header"),
    [
        (
            "http://127.0.0.1:{}/",
            ("us:er", "pa ss"),
            None,
            "Basic " + base64.b64encode(b"us:er:pa ss").decode(),
        ),
        ("http://127.0.0.1:{}/", None, "t0ken", "Bearer t0ken"),
        (
            "http://joe:se%20cret@127.0.0.1:{}/",
            None,
            None,
            "Basic " + base64.b64encode(b"joe:se cret").decode(),
        ),
    ],
    ids=["basic", "bearer", "in the URL"],
)
async def test_credentials_are_sent(
    client: HttpClient, url: str, basic: tuple[str, str] | None, bearer_token: str | None, header: str
) -> None:
    async with serve(respond()) as server:
        await exchange(
            client, HttpRequest(url=url.format(server.port), basic_auth=basic, bearer_token=bearer_token)
        )
    assert server.requests[0].headers["authorization"] == header


async def test_international_name_is_sent_in_ascii(client: HttpClient) -> None:
    async with serve(respond()) as server:
        await exchange(client, HttpRequest(url=f"http://bücher.test:{server.port}/ü?ä=ö"))
    assert server.requests[0].headers["host"] == f"xn--bcher-kva.test:{server.port}"
    assert server.requests[0].target == "/%C3%BC?%C3%A4=%C3%B6"


# Connections


@needs_ipv6
async def test_ipv6_address_is_reached(client: HttpClient) -> None:
    async with serve(respond(), host="::1") as server:
        seen = await exchange(client, HttpRequest(url=f"http://[::1]:{server.port}/"))
    assert (seen.address, seen.ip_version) == ("::1", 6)
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


@needs_ipv6
@pytest.mark.parametrize(("family", "address"), [(IpFamily.IPV4, "127.0.0.1"), (IpFamily.IPV6, "::1")])
async def test_ip_family_selects_the_address(client: HttpClient, family: IpFamily, address: str) -> None:
    async with serve(respond(), host=address) as server:
        seen = await exchange(client, HttpRequest(url=f"http://both.test:{server.port}/", ip_family=family))
    assert seen.address == address


async def test_only_one_address_is_tried(client: HttpClient) -> None:
    """three.test has three addresses, and the first of them does not answer."""
    async with serve(respond(), host="127.0.0.2") as server:
        seen = await failure(client, HttpRequest(url=f"http://three.test:{server.port}/"))
    assert (seen.kind, seen.address, server.connections) == (FailureKind.REFUSED, "127.0.0.1", 0)


async def test_fetch_each_tries_each_address(client: HttpClient) -> None:
    async with serve(respond(), host="127.0.0.2") as server:
        outcomes = await client.fetch_each(
            HttpRequest(url=f"http://three.test:{server.port}/"), deadline=in_time()
        )
    assert [(type(outcome), outcome.address) for outcome in outcomes] == [
        (HttpFailure, "127.0.0.1"),
        (HttpExchange, "127.0.0.2"),
        (HttpFailure, "127.0.0.3"),
    ]
    assert all(outcome.phases[Phase.RESOLVE] > 0 for outcome in outcomes)


async def test_fetch_each_with_an_unresolvable_name_is_one_failure(client: HttpClient) -> None:
    outcomes = await client.fetch_each(HttpRequest(url="http://nowhere.test/"), deadline=in_time())
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, HttpFailure)] == [
        FailureKind.RESOLVE_FAILED
    ]


async def test_fetch_each_with_an_address_tries_that_address(client: HttpClient) -> None:
    async with serve(respond()) as server:
        outcomes = await client.fetch_each(
            HttpRequest(url=f"http://127.0.0.1:{server.port}/"), deadline=in_time()
        )
    assert [outcome.address for outcome in outcomes] == ["127.0.0.1"]


async def test_each_address_has_the_same_deadline(client: HttpClient) -> None:
    async def never(peer: Peer) -> None:
        await peer.hang()

    async with serve(never, host="127.0.0.1") as server, serve(respond(), host="127.0.0.2", port=server.port):
        outcomes = await client.fetch_each(
            HttpRequest(url=f"http://three.test:{server.port}/"), deadline=soon()
        )
    assert isinstance(outcomes[0], HttpFailure)
    assert outcomes[0].kind is FailureKind.TIMEOUT_RESPONSE
    assert isinstance(outcomes[1], HttpExchange)


async def test_connect_to_changes_the_peer_and_nothing_else(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("shop.example", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        seen = await exchange(
            client,
            HttpRequest(
                url="https://shop.example/path",
                connect_to=parse_endpoint(f"127.0.0.1:{server.port}"),
                tls=TlsOptions(ca_file=ca_file),
            ),
        )
    assert seen.address == "127.0.0.1"
    assert server.requests[0].headers["host"] == "shop.example"


async def test_connect_to_works_for_a_url_with_an_address(client: HttpClient) -> None:
    async with serve(respond()) as server:
        await exchange(
            client,
            HttpRequest(url="http://192.0.2.1/", connect_to=parse_endpoint(f"one.test:{server.port}")),
        )
    assert server.requests[0].headers["host"] == "192.0.2.1"


async def test_unix_socket_is_reached(client: HttpClient, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    async with serve(respond(body=b"hi"), path=path) as server:
        request = HttpRequest(url=f"http+unix://{str(path).replace('/', '%2F')}/status?x=1", read_body=True)
        seen = await exchange(client, request)
        again = await exchange(client, request)
    assert (seen.body, again.body, server.connections) == (b"hi", b"hi", 2)
    assert (seen.address, seen.ip_version) == (str(path), None)
    assert server.requests[0].target == "/status?x=1"
    assert server.requests[0].headers["host"] == "localhost"


async def test_unix_socket_connection_is_kept_with_reuse_connection(
    client: HttpClient, tmp_path: Path
) -> None:
    path = tmp_path / "app.sock"
    async with serve(respond(), path=path) as server:
        request = HttpRequest(
            url=f"http+unix://{str(path).replace('/', '%2F')}/", reuse_connection=True, follow_redirects=False
        )
        await exchange(client, request)
        await exchange(client, request)
    assert server.connections == 1


async def test_redirect_on_a_unix_socket_stays_on_it(client: HttpClient, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"

    async def answer(peer: Peer) -> None:
        moved = (await peer.request()).target == "/old"
        head = "302 Found\r\nLocation: /new" if moved else "200 OK"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(answer, path=path) as server:
        seen = await exchange(client, HttpRequest(url=f"http+unix://{str(path).replace('/', '%2F')}/old"))
    assert (seen.status, [request.target for request in server.requests]) == (200, ["/old", "/new"])


# Proxies


def scripted_proxy(to_port: int) -> Script:
    """Accepts absolute URLs, to which it responds itself, and CONNECT, which always connects to `to_port`."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        if request.method != "CONNECT":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied")
            return
        await peer.relay_to(to_port, b"HTTP/1.1 200 Connection established\r\n\r\n")

    return script


async def test_proxy_receives_the_whole_url_and_its_own_credentials(client: HttpClient) -> None:
    async with serve(scripted_proxy(0)) as proxy:
        seen = await exchange(
            client,
            HttpRequest(
                url="http://unknown.example/path?q=1",
                proxy=f"http://joe:secret@one.test:{proxy.port}",
                basic_auth=("site", "pass"),
                read_body=True,
            ),
        )
    assert (seen.body, seen.address) == (b"proxied", "127.0.0.1")
    request = proxy.requests[0]
    assert request.target == "http://unknown.example/path?q=1"
    assert request.headers["host"] == "unknown.example"
    assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"joe:secret").decode()
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"site:pass").decode()


async def test_https_through_a_proxy_uses_connect(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    issued = authority.issue("unknown.example", directory=tmp_path)
    async with (
        serve(respond(body=b"inside"), tls=issued.server_context()) as server,
        serve(scripted_proxy(server.port)) as proxy,
    ):
        seen = await exchange(
            client,
            HttpRequest(
                url="https://unknown.example/path",
                proxy=f"http://joe:secret@127.0.0.1:{proxy.port}",
                tls=TlsOptions(ca_file=ca_file),
                bearer_token="t0ken",
                read_body=True,
            ),
        )
    assert seen.body == b"inside"
    assert seen.phases[Phase.TLS] > 0
    assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "unknown.example:443")
    assert (
        proxy.requests[0].headers["proxy-authorization"]
        == "Basic " + base64.b64encode(b"joe:secret").decode()
    )
    assert "authorization" not in proxy.requests[0].headers
    assert "proxy-authorization" not in server.requests[0].headers
    assert server.requests[0].headers["authorization"] == "Bearer t0ken"
    assert server.requests[0].target == "/path"


async def test_proxy_that_rejects_connect_is_reported(client: HttpClient) -> None:
    async with serve(send_raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as proxy:
        seen = await failure(
            client, HttpRequest(url="https://unknown.example/", proxy=f"http://127.0.0.1:{proxy.port}")
        )
    assert seen.kind is FailureKind.HOST_UNREACHABLE
    assert (
        seen.detail
        == f"connection to proxy 127.0.0.1:{proxy.port}: the proxy responded to CONNECT with status 403"
    )


async def test_unreachable_proxy_is_reported(client: HttpClient) -> None:
    port = free_port()
    seen = await failure(client, HttpRequest(url="http://unknown.example/", proxy=f"http://127.0.0.1:{port}"))
    assert (seen.kind, seen.detail) == (FailureKind.REFUSED, f"connection to proxy 127.0.0.1:{port} refused")


async def test_proxy_variables_are_ignored(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serve(respond()) as server:
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert server.connections == 1


# Lifetime


async def test_concurrent_exchanges_do_not_mix(client: HttpClient) -> None:
    async def echo(peer: Peer) -> None:
        request = await peer.request()
        body = request.target.encode()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

    async with serve(echo) as server:
        seen = await asyncio.gather(
            *(
                exchange(client, HttpRequest(url=f"http://one.test:{server.port}/{number}", read_body=True))
                for number in range(100)
            )
        )
    assert [result.body for result in seen] == [f"/{number}".encode() for number in range(100)]


async def test_cancellation_ends_an_exchange(client: HttpClient) -> None:
    async def never(peer: Peer) -> None:
        await peer.hang()

    async with serve(never) as server:
        task = asyncio.create_task(
            client.fetch(HttpRequest(url=f"http://127.0.0.1:{server.port}/"), deadline=in_time())
        )
        await server.is_reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_close_ends_kept_connections_and_may_be_repeated(
    authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    client = HttpClient(user_agent="t", resolver=Resolver(), tls_contexts=TlsContexts())
    issued = authority.issue("localhost", directory=tmp_path)
    async with serve(respond(), tls=issued.server_context()) as server:
        for keep in (True, False):
            await exchange(
                client,
                HttpRequest(
                    url=f"https://localhost:{server.port}/",
                    tls=TlsOptions(ca_file=ca_file),
                    ip_family=IpFamily.IPV4,
                    reuse_connection=keep,
                ),
            )
        await client.close()
        await client.close()


async def test_unused_client_can_be_closed() -> None:
    await HttpClient(user_agent="t", resolver=Resolver(), tls_contexts=TlsContexts()).close()


@needs_ipv6
@pytest.mark.parametrize("form", ["[::1%25{zone}]", "[::1%{zone}]"], ids=["RFC 6874", "bare"])
@pytest.mark.parametrize("by", ["name", "number"])
async def test_zone_of_an_address_is_used_and_not_sent(client: HttpClient, form: str, by: str) -> None:
    zone = "lo" if by == "name" else str(socket.if_nametoindex("lo"))
    async with serve(respond(), host="::1") as server:
        url = f"http://{form.format(zone=zone)}:{server.port}/"
        seen = await exchange(client, HttpRequest(url=url))
    assert (seen.address, seen.ip_version) == (f"::1%{zone}", 6)
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


@needs_ipv6
async def test_zone_of_an_address_in_a_redirect_is_used(client: HttpClient) -> None:
    async with (
        serve(respond(), host="::1") as other,
        serve(respond("302 F", headers={"Location": f"http://[::1%25lo]:{other.port}/"})) as server,
    ):
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/"))
    assert (seen.status, seen.address) == (200, "::1%lo")


@needs_ipv6
async def test_proxy_and_connect_to_can_have_a_zone(client: HttpClient) -> None:
    async with serve(respond(), host="::1") as server:
        proxied = HttpRequest(url="http://a.example/x", proxy=f"http://[::1%25lo]:{server.port}")
        direct = HttpRequest(url="http://a.example/x", connect_to=parse_endpoint(f"[::1%lo]:{server.port}"))
        addresses = [(await exchange(client, request)).address for request in (proxied, direct)]
    assert addresses == ["::1%lo", "::1%lo"]
    assert [request.target for request in server.requests] == ["http://a.example/x", "/x"]


async def test_unknown_zone_is_reported(client: HttpClient) -> None:
    seen = await failure(client, HttpRequest(url="http://[fe80::1%25nosuch0]/"))
    assert seen.kind is FailureKind.HOST_UNREACHABLE
    assert seen.detail == "connection to fe80::1%nosuch0: this host has no interface nosuch0"


async def test_zone_is_not_sent_to_a_proxy(client: HttpClient) -> None:
    async with serve(respond()) as proxy:
        url = "http://[fe80::1%25nosuch0]/x?"
        await exchange(client, HttpRequest(url=url, proxy=f"http://127.0.0.1:{proxy.port}"))
    request = proxy.requests[0]
    assert (request.target, request.headers["host"]) == ("http://[fe80::1]/x?", "[fe80::1]")


WRITTEN = '/A_%26_B/%40%2E%7e/100%/|[]{}\\"<>^`//?q=%2F%3F&x=?'


@pytest.mark.parametrize("way", ["direct", "proxy", "socket"])
async def test_configured_url_is_sent_byte_for_byte(client: HttpClient, tmp_path: Path, way: str) -> None:
    path = tmp_path / "app.sock" if way == "socket" else None
    async with serve(respond(), path=path) as server:
        if path is not None:
            origin, proxy = f"http+unix://{str(path).replace('/', '%2F')}", None
        elif way == "proxy":
            origin, proxy = "http://a.example", f"http://127.0.0.1:{server.port}"
        else:
            origin, proxy = f"http://one.test:{server.port}", None
        await exchange(client, HttpRequest(url=f"{origin}{WRITTEN}#part", proxy=proxy))
    assert server.requests[0].target == ("http://a.example" if proxy else "") + WRITTEN
