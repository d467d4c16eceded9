import asyncio
import encodings
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDictProxy

from monitord.web import (
    Application,
    HTTPRequestEntityTooLarge,
    Request,
    Response,
    Server,
    json_response,
)
from monitord.web.testing import ClientConnection, SocketClient, TestClient


async def ask(view: Any, data: bytes, *, path: str = "/{tail:path}") -> Any:
    """Return the result of `view` for a request of these bytes."""
    seen: list[Any] = []

    async def handler(request: Request) -> Response:
        result = view(request)
        seen.append(await result if hasattr(result, "__await__") else result)
        return Response()

    app = Application()
    for method in ("GET", "POST"):
        app.router.add_route(method, path, handler)
    async with TestClient(app) as client, await client.connect() as connection:
        await connection.send(data)
        response = await connection.response()
    return seen[0] if seen else (response.status, response.text)


def get(target: str, *fields: str, host: str = "h") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1")


def post(body: bytes, *fields: str) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_path_is_decoded_once() -> None:
    assert await ask(lambda request: request.path, get("/a%2525%20%D0%BF")) == "/a%25 \u043f"
    assert await ask(lambda request: request.raw_path, get("/a%2F?x")) == "/a%2F"


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/a%2Fb?c=d", "h:8080", "http://h:8080/a%2Fb?c=d"),
        ("//x/y", "h", "http://h//x/y"),
        ("http://other/x", "h", "http://other/x"),
        ("/x", "", "/x"),
        ("/x", "[::1]:1", "http://[::1]:1/x"),
    ],
)
async def test_url_is_built_from_target_and_host(target: str, host: str, url: str) -> None:
    assert str(await ask(lambda request: request.url, get(target, host=host))) == url


async def test_query_keeps_repeated_and_empty_names() -> None:
    query: MultiDictProxy[str] = await ask(lambda request: request.query, get("/?a=1&a=2&b=&c&d=%D0%BF+x"))
    assert list(query.items()) == [("a", "1"), ("a", "2"), ("b", ""), ("c", ""), ("d", "\u043f x")]


async def test_headers_are_case_insensitive_and_separate() -> None:
    headers = await ask(lambda request: request.headers, get("/", "X-Y: 1 ", "x-y:\t2", "Z: \xe9"))
    assert (headers["x-Y"], headers.getall("X-Y"), headers["z"]) == ("1", ["1", "2"], "\xe9")


async def test_cookies_of_all_fields_are_read() -> None:
    assert await ask(lambda request: dict(request.cookies), get("/", "Cookie: a=1", "Cookie: b=2")) == {
        "a": "1",
        "b": "2",
    }


async def test_body_can_be_read_twice() -> None:
    async def view(request: Request) -> object:
        return await request.read(), await request.read(), await request.text()

    assert await ask(view, post(b"abc")) == (b"abc", b"abc", "abc")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("\u20ac".encode(), "text/plain", "\u20ac"),
        (b"\xe9", "text/plain; charset=latin-1", "\xe9"),
        (b"\xe9", 'text/plain; charset="ISO-8859-1"', "\xe9"),
        (b"\xe9", "text/plain", (400, "the body is not utf-8")),
        (b"x", "text/plain; charset=klingon", (415, "unknown charset 'klingon'")),
        (b"x-", "text/plain; charset=Punycode", (415, "unknown charset 'punycode'")),
        (b"x", "text/plain; charset=idna", (415, "unknown charset 'idna'")),
        (rb"\ud800", "text/plain; charset=unicode_escape", (415, "unknown charset 'unicode_escape'")),
        (b"x", "text/plain; charset=hex", (415, "unknown charset 'hex'")),
        (b"\xe9", 'text/plain; a="; charset=utf-8;\\""; CHARSET=Latin1', "\xe9"),
        (b"\xe9", f'text/plain; a="{";" * 5000}"; charset=latin-1', "\xe9"),
        (b"x", f"text/plain; charset*{'9' * 5000}=x", "x"),
        (b"x", "text/plain; charset*=a%00b''utf-8", "x"),
    ],
)
async def test_text_follows_the_charset(body: bytes, kind: str, text: object) -> None:
    assert await ask(lambda request: request.text(), post(body, f"Content-Type: {kind}")) == text


async def test_unknown_charsets_are_not_cached() -> None:
    """Python's codec registry caches unknown names, so a client could fill the memory with them."""
    assert (
        await ask(lambda request: request.text(), post(b"x", "Content-Type: a/b; charset=never-heard-of"))
    )[0] == 415
    assert not any("heard" in name for name in vars(encodings)["_cache"])


@pytest.mark.parametrize(
    ("field", "kind"),
    [("Text/HTML ; a=b", "text/html"), ("nonsense", "application/octet-stream"), ("a/b/c", "application/octet-stream"),
     (";", "application/octet-stream"), ("a/b;c=d;", "a/b")],
)  # fmt: skip
async def test_type_is_without_its_parameters(field: str, kind: str) -> None:
    async def view(request: Request) -> str:
        return request.content_type

    assert await ask(view, post(b"", f"Content-Type: {field}")) == kind


async def test_invalid_json_is_rejected() -> None:
    assert await ask(lambda request: request.json(), post(b'{"a": [1]}')) == {"a": [1]}
    for body in (b"", b"{", b"[" * 100_000):
        status, text = await ask(lambda request: request.json(), post(body))
        assert status == 400
        assert text.startswith("the body is not JSON: ")


async def test_form_is_read() -> None:
    kind = "Content-Type: application/x-www-form-urlencoded"
    form = await ask(lambda request: request.form(), post(b"a=1&a=2&b=%20+", kind))
    assert (form.getall("a"), form["b"]) == (["1", "2"], "  ")
    assert (await ask(lambda request: request.form(), post(b"a=1")))[0] == 415
    assert (await ask(lambda request: request.form(), post(b"a=1&" * 2000, kind)))[0] == 413


async def test_percent_encoding_of_a_form_is_in_its_charset() -> None:
    kind = "Content-Type: application/x-www-form-urlencoded"
    form = await ask(lambda request: request.form(), post(b"a=%e9\xe9", f"{kind}; charset=latin-1"))
    assert form["a"] == "\u00e9\u00e9"
    assert (await ask(lambda request: request.form(), post(b"a=%c3%a9", kind)))["a"] == "\u00e9"
    assert (await ask(lambda request: request.form(), post(b"a=%e9", kind)))[0] == 400


async def test_type_and_length_are_known_before_the_body() -> None:
    def view(request: Request) -> object:
        return request.content_type, request.charset, request.content_length, request.body_exists

    assert await ask(view, post(b"ab", "Content-Type: Text/HTML; Charset=X")) == ("text/html", "x", 2, True)
    assert await ask(view, get("/")) == ("application/octet-stream", None, 0, False)
    chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert await ask(view, chunked) == ("application/octet-stream", None, None, True)


async def test_state_passes_from_middleware_to_handler() -> None:
    async def middleware(request: Request, handler: Any) -> Any:
        request.state.user = "ada"
        return await handler(request)

    async def whoami(request: Request) -> Response:
        return Response(text=request.state.user)

    app = Application(middlewares=[middleware])
    app.router.add_get("/", whoami)
    async with TestClient(app) as client:
        assert (await client.get("/")).text == "ada"


async def test_body_cannot_be_read_after_the_response() -> None:
    late: list[Request] = []

    async def handler(request: Request) -> Response:
        late.append(request)
        return Response()

    app = Application()
    app.router.add_post("/", handler)
    async with TestClient(app) as client:
        await client.post("/", body=b"abc")
        with pytest.raises(RuntimeError, match="has been sent"):
            await late[0].read()


async def test_limit_of_the_route_takes_precedence() -> None:
    async def handler(request: Request) -> Response:
        return json_response(len(await request.read()))

    app = Application(client_max_size=10)
    app.router.add_post("/small", handler)
    app.router.add_post("/large", handler, client_max_size=20)
    async with TestClient(app) as client:
        assert (await client.post("/small", body=b"x" * 10)).status == 200
        assert (await client.post("/small", body=b"x" * 11)).status == 413
        assert (await client.post("/large", body=b"x" * 20)).status == 200
        assert (await client.post("/large", body=b"x" * 21)).status == 413


async def test_rejected_body_stays_rejected() -> None:
    async def handler(request: Request) -> Response:
        for _ in range(3):
            with pytest.raises(HTTPRequestEntityTooLarge):
                await request.read()
        return Response()

    app = Application(client_max_size=10)
    app.router.add_post("/", handler)
    async with SocketClient(app) as client, await client.connect() as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.send(b"b\r\n" + b"x" * 11 + b"\r\n5\r\nabcde\r\n0\r\n\r\n")
        assert (await connection.response()).status == 200


async def test_reading_continues_after_a_timeout() -> None:
    has_waited = asyncio.Event()

    async def handler(request: Request) -> Response:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await request.read()
        has_waited.set()
        return Response(body=await request.read())

    app = Application()
    app.router.add_post("/", handler)
    async with SocketClient(app) as client, await client.connect() as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
        await has_waited.wait()
        await connection.send(b"def")
        assert (await connection.response()).body == b"abcdef"


async def peer(request: Request) -> Response:
    peer = request.peer
    return json_response(
        {"address": peer.address, "uid": peer.uid, "gid": peer.gid, "pid": peer.pid, "local": peer.is_local}
    )


async def test_peer_over_tcp_is_an_address() -> None:
    app = Application()
    app.router.add_get("/", peer)
    async with SocketClient(app) as client:
        assert (await client.get("/")).json() == {
            "address": "127.0.0.1", "uid": None, "gid": None, "pid": None, "local": True,
        }  # fmt: skip


async def test_peer_over_a_unix_socket_is_a_process(tmp_path: Path) -> None:
    app = Application()
    app.router.add_get("/", peer)
    async with SocketClient(app, path=tmp_path / "socket") as client:
        assert (await client.get("/")).json() == {
            "address": None, "uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(), "local": True,
        }  # fmt: skip


async def test_groups_of_the_peer_are_known(tmp_path: Path) -> None:
    async def groups(request: Request) -> Response:
        return json_response(sorted(request.peer.groups))

    app = Application()
    app.router.add_get("/", groups)
    async with SocketClient(app, path=tmp_path / "socket") as client:
        assert (await client.get("/")).json() == sorted(os.getgroups())


async def test_repr_shows_method_and_target() -> None:
    assert await ask(repr, get("/x?y")) == "<Request GET /x?y>"


async def test_path_of_the_unix_socket_is_known(tmp_path: Path) -> None:
    """As it was bound: the server binds a temporary name, so the socket of this test is its own."""

    async def path(request: Request) -> Response:
        return json_response(request.socket_path)

    app = Application()
    app.router.add_get("/", path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        async with Server(app, sockets=[listener]):
            connection = ClientConnection(*await asyncio.open_unix_connection(tmp_path / "socket"))
            async with connection:
                assert (await connection.request("GET", "/")).json() == str(tmp_path / "socket")
    async with SocketClient(app) as client:
        assert (await client.get("/")).json() is None


async def test_local_address_is_known_over_tcp(tmp_path: Path) -> None:
    async def local(request: Request) -> Response:
        return json_response(request.local_address)

    for path, address in ((None, "127.0.0.1"), (tmp_path / "s", None)):
        app = Application()
        app.router.add_get("/", local)
        async with SocketClient(app, path=path) as client:
            assert (await client.get("/")).json() == address
