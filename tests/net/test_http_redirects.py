"""Redirects: their number, the method after them, and what is sent to another origin."""

import asyncio
import ssl
from pathlib import Path

import pytest

from monitord.net import Deviation, FailureKind, HttpClient, HttpRequest, Phase, TlsOptions
from monitord.net.http.url import redirect_target
from tests.certificates import Authority
from tests.net.conftest import exchange, failure, in_time
from tests.servers import Peer, Script, respond, send_raw, serve


def redirect_to(location: str, *, status: int = 302, headers: str = "") -> Script:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n{headers}Content-Length: 0\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head.encode())

    return script


def count_down(status: int = 302, pause_s: float = 0.0) -> Script:
    """/5 leads to /4, and so on; /0 is there."""

    async def script(peer: Peer) -> None:
        number = int((await peer.request()).target[1:])
        await asyncio.sleep(pause_s)
        head = f"{status} Found\r\nLocation: /{number - 1}" if number else "200 OK"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    return script


async def test_redirects_are_followed_and_counted_and_their_times_are_added(client: HttpClient) -> None:
    async with serve(count_down(pause_s=0.005)) as server:
        seen = await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/10"))
    assert (seen.status, seen.redirects) == (200, 10)
    assert [request.target for request in server.requests] == [f"/{n}" for n in range(10, -1, -1)]
    assert seen.phases[Phase.PROCESSING] >= 11 * 0.004


async def test_more_than_ten_redirects_are_too_many(client: HttpClient) -> None:
    async with serve(count_down()) as server:
        seen = await failure(client, HttpRequest(url=f"http://one.test:{server.port}/11"))
    assert (seen.kind, seen.redirects) == (FailureKind.TOO_MANY_REDIRECTS, 10)
    assert len(server.requests) == 11


async def test_redirect_is_the_response_without_follow_redirects(client: HttpClient) -> None:
    async with serve(count_down()) as server:
        request = HttpRequest(url=f"http://one.test:{server.port}/1", follow_redirects=False)
        seen = await exchange(client, request)
    assert (seen.status, seen.redirects, len(server.requests)) == (302, 0, 1)


async def test_redirect_without_location_is_the_response(client: HttpClient) -> None:
    async with serve(respond("302 Found")) as server:
        seen = await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert seen.status == 302


@pytest.mark.parametrize(
    ("location", "deviations"),
    [
        (b"/x%20y", ()),
        (b"/x y", (Deviation.LOCATION,)),
        (b"/gr\xfcn", (Deviation.LOCATION,)),
        (b"///127.0.0.1:%d/", (Deviation.LOCATION,)),
        (b"/x\r\nLocation: /x", ()),
        (b"/x\r\nLocation: /y", (Deviation.LOCATION,)),
    ],
)
async def test_unusual_location_is_followed_and_reported(
    client: HttpClient, location: bytes, deviations: tuple[Deviation, ...]
) -> None:
    async def answer(peer: Peer) -> None:
        request = await peer.request()
        if request.target != "/start":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        to = location.replace(b"%d", b"%d" % server.port)
        await peer.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", to, b"\r\n\r\n")

    async with serve(answer) as server:
        seen = await exchange(client, HttpRequest(url=f"http://127.0.0.1:{server.port}/start"))
    assert (seen.status, seen.redirects, seen.deviations) == (200, 1, deviations)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("ftp://one.test/", "the redirect target is not an HTTP URL"),
        ("http+unix://%2Frun%2Fx.sock/", "the redirect target is not an HTTP URL"),
        ("file:///etc/passwd", "the redirect target is not an HTTP URL"),
        (
            "http://[::1",
            'the redirect target is not a URL with "host:port" or "[address]:port"',
        ),
        (
            "http://one.test:99999/",
            "the redirect target is not a URL with a port from 1 to 65535",
        ),
    ],
)
async def test_redirect_to_another_scheme_is_a_protocol_error(
    client: HttpClient, location: str, problem: str
) -> None:
    async with serve(redirect_to(location)) as server:
        seen = await failure(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert (seen.kind, seen.detail) == (FailureKind.PROTOCOL_ERROR, problem)


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (303, "HEAD", "HEAD", b""),
        (307, "POST", "POST", b"form"),
        (308, "PUT", "PUT", b"form"),
        (301, "GET", "GET", b""),
    ],
)
async def test_method_after_a_redirect_follows_the_rfc(
    client: HttpClient, status: int, method: str, then: str, body: bytes
) -> None:
    async with serve(count_down(status)) as server:
        await exchange(
            client,
            HttpRequest(
                url=f"http://one.test:{server.port}/1",
                method=method,
                headers=(("Content-Type", "a/b"),),
                body=b"form" if method in {"POST", "PUT"} else None,
            ),
        )
    first, second = server.requests
    assert (second.method, second.body) == (then, body)
    assert ("content-type" in second.headers) == (method == then)
    assert first.method == method


@pytest.mark.parametrize(
    "request_parts",
    [
        {"basic_auth": ("joe", "secret")},
        {"bearer_token": "secret"},
        {"headers": (("Authorization", "secret"),)},
        {"headers": (("Cookie", "id=secret"),)},
        {"headers": (("X-Api-Key", "secret"),)},
    ],
    ids=["basic", "bearer", "header", "cookie", "key"],
)
@pytest.mark.parametrize("stranger", ["two.test", "one.test"], ids=["another host", "another port"])
async def test_credentials_are_not_sent_to_another_origin(
    client: HttpClient, request_parts: dict[str, object], stranger: str
) -> None:
    async with (
        serve(respond()) as other,
        serve(redirect_to(f"http://{stranger}:{other.port}/")) as server,
    ):
        url = f"http://one.test:{server.port}/"
        await exchange(client, HttpRequest(url=url, **request_parts))  # type: ignore[arg-type]  # a table of tests
    assert "secret" in str(server.requests[0].headers.values()) or "Basic" in str(server.requests[0].headers)
    assert set(other.requests[0].headers) == {"host", "user-agent", "accept", "connection"}


async def test_password_in_the_url_is_not_sent_to_another_origin(client: HttpClient) -> None:
    async with serve(respond()) as other, serve(redirect_to(f"http://two.test:{other.port}/")) as server:
        await exchange(client, HttpRequest(url=f"http://joe:secret@one.test:{server.port}/"))
    assert "authorization" in server.requests[0].headers
    assert "authorization" not in other.requests[0].headers


async def test_credentials_are_sent_again_to_their_origin(client: HttpClient) -> None:
    async with serve(count_down()) as server:
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/2", bearer_token="t0ken"))
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t0ken"] * 3


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
async def test_cookie_of_a_redirect_keeps_configured_cookies(client: HttpClient, name: str) -> None:
    """Many applications set one with each answer; the session must not be lost by that."""
    cookies = "Set-Cookie: seen=1; Path=/\r\nSet-Cookie: theme=dark; Path=/\r\n"
    async with serve(redirect_to("/home", headers=cookies)) as server:
        request = HttpRequest(
            url=f"http://one.test:{server.port}/",
            headers=((name, "session=abc; theme=light"),),
        )
        await client.fetch(request, deadline=in_time())
    sent = [request.headers["cookie"] for request in server.requests]
    assert sent[0] == "session=abc; theme=light"
    assert set(sent[1].split("; ")) == {"session=abc", "seen=1", "theme=dark"}


async def test_cookies_of_a_redirect_are_sent_back_to_their_host_only(client: HttpClient) -> None:
    """A login sets a cookie, redirects, and redirects again while the cookie is missing."""

    async def login(peer: Peer) -> None:
        request = await peer.request()
        if "id=42" in request.headers.get("cookie", ""):
            head = f"302 Found\r\nLocation: http://two.test:{other.port}/"
        else:
            head = "302 Found\r\nLocation: /\r\nSet-Cookie: id=42; Path=/; HttpOnly"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(respond()) as other, serve(login) as server:
        request = HttpRequest(url=f"http://one.test:{server.port}/")
        seen = await exchange(client, request)
        await exchange(client, request)
    assert (seen.status, seen.redirects) == (200, 2)
    assert "cookie" not in other.requests[0].headers
    # The second exchange begins without the cookie of the first exchange.
    assert ["cookie" in request.headers for request in server.requests] == [False, True, False, True]


async def test_client_certificate_is_not_sent_to_another_origin(
    client: HttpClient, authority: Authority, ca_file: str, tmp_path: Path
) -> None:
    good = authority.issue("one.test", "two.test", directory=tmp_path)
    mine = authority.issue("client", directory=tmp_path, file="client")
    shown: list[object] = []

    async def look(peer: Peer) -> None:
        await peer.request()
        shown.append(peer.writer.get_extra_info("peercert"))
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    context = good.server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(ca_file)
    tls = TlsOptions(ca_file=ca_file, certificate_file=str(mine.chain_file), key_file=str(mine.key_file))
    async with (
        serve(look, tls=context) as other,
        serve(redirect_to(f"https://two.test:{other.port}/"), tls=context) as server,
    ):
        await exchange(client, HttpRequest(url=f"https://two.test:{other.port}/", tls=tls))
        await exchange(client, HttpRequest(url=f"https://one.test:{server.port}/", tls=tls))
    assert [bool(certificate) for certificate in shown] == [True, False]


async def test_failure_after_a_redirect_names_the_address(client: HttpClient) -> None:
    async with serve(send_raw(b"")) as other, serve(redirect_to(f"http://127.0.0.1:{other.port}/")) as server:
        seen = await failure(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert (seen.kind, seen.redirects, seen.address) == (FailureKind.RESET, 1, "127.0.0.1")


async def test_location_is_followed_byte_for_byte(client: HttpClient) -> None:
    """A server that redirects to its canonical spelling would redirect repeatedly to any other."""
    canonical = b'/A_%26_B/%40%28%3a%2E%7E/100%/%2e%2e/|[]{}\\"<>^`//?q=%2F%3F&x=?'

    async def script(peer: Peer) -> None:
        if (await peer.request()).target.encode("latin-1") == canonical:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            await peer.send(b"HTTP/1.1 301 M\r\nLocation: " + canonical + b"\r\nContent-Length: 0\r\n\r\n")

    async with serve(script) as server:
        seen = await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/A_&_B"))
    assert (seen.status, seen.redirects) == (200, 1)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/\xe4?\xfc", "/%E4?%FC"),
        ("/ä?ü".encode(), "/%C3%A4?%C3%BC"),
        (b"/a b?c d", "/a%20b?c%20d"),
        (b"  /x\t ", "/x"),
        (b"?", "/start?"),
        (b"/x#part", "/x"),
    ],
)
async def test_forbidden_bytes_of_a_location_are_encoded(
    client: HttpClient, location: bytes, target: str
) -> None:
    async def script(peer: Peer) -> None:
        if (await peer.request()).target == "/start":
            await peer.send(b"HTTP/1.1 302 F\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serve(script) as server:
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/start"))
    assert [request.target for request in server.requests] == ["/start", target]


@pytest.mark.parametrize(
    ("headers", "requests"),
    [("Location: \r\n", 1), ("Location: \r\nLocation: /y\r\n", 2), ("Location: /y\r\nLocation: /z\r\n", 2)],
    ids=["empty", "empty, then another", "two"],
)
async def test_first_nonempty_location_counts(client: HttpClient, headers: str, requests: int) -> None:
    async def script(peer: Peer) -> None:
        head = f"302 F\r\n{headers}" if (await peer.request()).target == "/x" else "200 OK\r\n"
        await peer.send(f"HTTP/1.1 {head}Content-Length: 0\r\n\r\n".encode())

    async with serve(script) as server:
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/x"))
    assert [request.target for request in server.requests] == ["/x", "/y"][:requests]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
async def test_body_is_not_sent_to_another_origin(client: HttpClient, status: int, method: str) -> None:
    async with (
        serve(respond()) as other,
        serve(redirect_to(f"http://two.test:{other.port}/x?t=1", status=status)) as server,
    ):
        url = f"http://one.test:{server.port}/"
        seen = await failure(client, HttpRequest(url=url, method=method, body=b"pin=1234"))
    assert (seen.kind, seen.redirects, other.connections) == (FailureKind.REDIRECT_REJECTED, 1, 0)
    assert seen.detail == (
        f"the redirect ({status}) leads to http://two.test:{other.port}, "
        "and a request body is not sent to another origin"
    )


@pytest.mark.parametrize(("status", "method"), [(301, "PUT"), (302, "PATCH"), (302, "DELETE"), (301, "GET")])
async def test_body_kept_by_its_method_is_not_sent_to_another_origin(
    client: HttpClient, status: int, method: str
) -> None:
    async with (
        serve(respond()) as other,
        serve(redirect_to(f"http://one.test:{other.port}/", status=status)) as server,
    ):
        url = f"http://one.test:{server.port}/"
        seen = await failure(client, HttpRequest(url=url, method=method, body=b"pin=1234"))
    assert (seen.kind, other.connections) == (FailureKind.REDIRECT_REJECTED, 0)


@pytest.mark.parametrize(("status", "method"), [(303, "POST"), (303, "GET"), (302, "POST"), (307, "GET")])
async def test_redirect_to_another_origin_is_followed_without_the_body(
    client: HttpClient, status: int, method: str
) -> None:
    async with (
        serve(respond()) as other,
        serve(redirect_to(f"http://two.test:{other.port}/", status=status)) as server,
    ):
        await exchange(
            client,
            HttpRequest(
                url=f"http://one.test:{server.port}/",
                method=method,
                headers=(("Content-Type", "a/b"), ("Referer", "http://one.test/?token=secret")),
                body=None if status == 307 else b"pin=1234",
            ),
        )
    (request,) = other.requests
    assert (request.method, request.body) == ("GET", b"")
    assert set(request.headers) == {"host", "user-agent", "accept", "connection"}


@pytest.mark.parametrize(
    ("home", "location", "may"),
    [
        ("http://a.test/", "/x", True),
        ("http://a.test/", "http://A.TEST:80/x", True),
        ("http://a.test/", "https://a.test/x", True),
        ("http://a.test/", "https://b.test/x", False),
        ("http://a.test/", "https://a.test:8443/x", False),
        ("http://a.test:8080/", "https://a.test/x", False),
        ("https://a.test/", "http://a.test/x", False),
        ("http://a.test/", "http://a.test:8080/x", False),
        ("http://a.test/", "http://a.test./x", False),
        ("http+unix://%2Fx/", "/x", True),
        ("http+unix://%2Fx/", "http://localhost/x", True),
        ("http+unix://%2Fx/", "https://localhost/x", False),
        ("http+unix://%2Fx/", "http://a.test/x", False),
    ],
)
def test_body_is_sent_to_the_same_origin_or_its_https_upgrade(home: str, location: str, may: bool) -> None:
    request = HttpRequest(url=home, method="POST", body=b"x")
    assert request.may_send_body(redirect_target(request.target, location)) is may


async def test_credentials_of_a_location_are_sent_to_its_host(client: HttpClient) -> None:
    async with (
        serve(count_down()) as other,
        serve(redirect_to(f"http://joe:p%40ss@two.test:{other.port}/1")) as server,
    ):
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/", bearer_token="secret"))
    assert [request.headers["authorization"] for request in other.requests] == ["Basic am9lOnBAc3M="] * 2


async def test_credentials_of_a_location_do_not_replace_those_of_the_caller(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        host = request.headers["host"]
        head = f"302 F\r\nLocation: http://joe:pass@{host}/y" if request.target == "/x" else "200 OK"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(script) as server:
        await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/x", bearer_token="t0ken"))
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer t0ken"] * 2


async def test_redirect_to_the_configured_host_stays_on_the_unix_socket(
    client: HttpClient, tmp_path: Path
) -> None:
    path = tmp_path / "app.sock"

    async def script(peer: Peer) -> None:
        head = "200 OK"
        if (await peer.request()).target == "/":
            head = "302 F\r\nLocation: http://app.test/x"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(script, path=path) as server:
        url = f"http+unix://{str(path).replace('/', '%2F')}/"
        seen = await exchange(client, HttpRequest(url=url, headers=(("Host", "app.test"), ("X-Key", "1"))))
    assert (seen.status, seen.address) == (200, str(path))
    assert [(r.headers["host"], r.headers["x-key"]) for r in server.requests] == [("app.test", "1")] * 2


@pytest.mark.parametrize(
    "set_cookie",
    [
        'sid="a b"; Path=/', 'sid="a\\"b"; Path=/', "sid=a b", 'sid={"k": "v"}', "s[id]=a",
        "sid=a; Partitioned; Secret-Level=9",
        "sid=ä", "sid=a,b", "sid", "sid=a; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)  # fmt: skip
async def test_cookie_of_a_redirect_is_sent_back_unchanged(client: HttpClient, set_cookie: str) -> None:
    wanted = set_cookie.partition(";")[0].encode().decode("latin-1")

    async def login(peer: Peer) -> None:
        request = await peer.request()
        head = "200 OK"
        if request.headers.get("cookie") != wanted:
            head = f"302 Found\r\nLocation: /\r\nSet-Cookie: {set_cookie}"
        await peer.send(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serve(login) as server:
        seen = await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert (seen.status, seen.redirects) == (200, 1)


async def test_clearing_a_cookie_of_one_path_leaves_that_of_another(client: HttpClient) -> None:
    cookies = "Set-Cookie: sid=1; Path=/\r\nSet-Cookie: sid=; Path=/old; Max-Age=0\r\n"
    async with serve(redirect_to("/x", headers=cookies)) as server:
        await client.fetch(HttpRequest(url=f"http://one.test:{server.port}/old/y"), deadline=in_time())
    assert server.requests[1].headers["cookie"] == "sid=1"


@pytest.mark.parametrize("reuse", [False, True])
async def test_cookie_that_is_not_utf_8_is_sent_back_unchanged(client: HttpClient, reuse: bool) -> None:
    value = bytes(range(0x80, 0x100)) + "ä".encode()

    async def login(peer: Peer) -> None:
        while True:
            request = await peer.request()
            cookie = b"X-None: 1" if request.headers.get("cookie") else b"Set-Cookie: sid=" + value
            found = request.headers.get("cookie", "").encode("latin-1") == b"sid=" + value
            head = b"200 OK" if found else b"307 F\r\nLocation: /\r\n" + cookie
            await peer.send(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")
            if request.headers.get("connection") == "close":
                return

    body = "\U0010ffff".encode() + b"\r\n\r\n" + "\U0010ff80".encode()
    async with serve(login) as server:
        request = HttpRequest(
            url=f"http://one.test:{server.port}/", method="POST", body=body, reuse_connection=reuse
        )
        for _ in range(2):
            seen = await exchange(client, request)
            assert (seen.status, seen.redirects) == (200, 1)
        await client.forget(request)
    assert [request.body for request in server.requests] == [body] * 4


async def test_cookies_are_not_parsed_a_second_time(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """aiohttp logs a warning for each cookie that Python's http.cookies refuses."""
    async with serve(
        send_raw(b"HTTP/1.1 200 OK\r\nSet-Cookie: a@b=c\r\nContent-Length: 0\r\n\r\n")
    ) as server:
        seen = await exchange(client, HttpRequest(url=f"http://one.test:{server.port}/"))
    assert seen.headers["Set-Cookie"] == "a@b=c"
    assert caplog.records == []


async def test_new_connection_gets_the_same_cookie_as_the_kept_one(client: HttpClient) -> None:
    async def login(peer: Peer) -> None:
        while not (await peer.request()).headers.get("cookie"):
            await peer.send(
                b"HTTP/1.1 302 F\r\nLocation: /\r\nSet-Cookie: sid=\xe4\r\nContent-Length: 0\r\n\r\n"
            )
        if server.connections > 1:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serve(login) as server:
        request = HttpRequest(url=f"http://one.test:{server.port}/", reuse_connection=True)
        seen = await exchange(client, request)
        await client.forget(request)
    assert (seen.status, server.connections) == (200, 2)
    assert [request.headers.get("cookie") for request in server.requests] == [None, "sid=\xe4", "sid=\xe4"]
