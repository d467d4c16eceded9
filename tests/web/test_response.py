import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.web import (
    Application,
    Handler,
    Headers,
    Request,
    Response,
    StreamResponse,
    html_response,
    json_response,
)
from monitord.web.testing import ClientResponse, TestClient

BAD_VALUES = ["a\r\nb", "a\nb", "a\rb", "a\0b", "\x7f", " a", "a ", "\u20ac", "a\r\n\r\n<html>"]


async def sent(response: StreamResponse, method: str = "GET") -> ClientResponse:
    """Return the response as a client receives it."""

    async def handler(request: Request) -> StreamResponse:
        return response

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        return await client.request(method, "/")


async def test_length_of_text_is_in_bytes() -> None:
    response = await sent(Response(text="na\u00efve \u20ac"))
    assert response.headers["Content-Length"] == "10"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text == "na\u00efve \u20ac"


@pytest.mark.parametrize(
    ("response", "body", "kind"),
    [
        (Response(), b"", None),
        (Response(body=b"x"), b"x", "application/octet-stream"),
        (Response(body="x"), b"x", "text/plain; charset=utf-8"),
        (Response(text="\u00e9", charset="latin-1"), b"\xe9", "text/plain; charset=latin-1"),
        (Response(text="<p>", content_type="text/html"), b"<p>", "text/html; charset=utf-8"),
        (Response(body=b"x", content_type="image/png"), b"x", "image/png"),
        (Response(body=b"x", headers={"content-type": "image/gif"}), b"x", "image/gif"),
        (html_response("<p>"), b"<p>", "text/html; charset=utf-8"),
        (Response("x"), b"x", "text/plain; charset=utf-8"),
        (Response(b"x"), b"x", "application/octet-stream"),
        (Response("x", 200, "text/html", {"X-A": "1"}), b"x", "text/html; charset=utf-8"),
        (Response(b"x", 200, "text/html", {"X-A": "1"}), b"x", "text/html"),
        (Response("\u00e9", 200, "text/html; charset=latin-1"), b"\xe9", "text/html; charset=latin-1"),
        (
            Response("\u00e9", 200, 'text/html; charset="utf-16-le"'),
            b"\xe9\0",
            'text/html; charset="utf-16-le"',
        ),
        (Response("\u00e9", headers={"Content-Type": "text/html"}), b"\xc3\xa9", "text/html; charset=utf-8"),
        (Response("{}", content_type="application/json"), b"{}", "application/json"),
        (json_response({"a": [1, None]}), b'{"a": [1, null]}', "application/json"),
    ],
)
async def test_body_has_its_content_type(response: Response, body: bytes, kind: str | None) -> None:
    got = await sent(response)
    assert (got.status, got.body, got.headers.get("Content-Type")) == (200, body, kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.booleans(), inner),
)


@given(JSON)
def test_json_equals_that_of_the_standard_library(data: object) -> None:
    assert json_response(data).text == json.dumps(data)


@pytest.mark.parametrize("data", [b"bytes", {"set": {1}}, {(1, 2): 3}], ids=repr)
def test_invalid_json_data_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError):
        json_response(data)


def test_circular_json_is_an_error() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    with pytest.raises((RecursionError, ValueError)):
        json_response(ring)
    assert json_response([[1], [1]]).text == "[[1], [1]]"


async def test_status_or_body_that_cannot_be_sent_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in (("status", "200 OK\r\nX: y"), ("status", 99), ("body", "text")):
        response = Response(text="x")
        setattr(response, name, value)
        assert (await sent(response)).status == 500
    assert len(caplog.records) == 3


async def test_positional_arguments_are_body_status_content_type_headers() -> None:
    response = await sent(Response("x", 201, "text/html", {"X-A": "1"}))
    assert (response.status, response.text, response.headers["X-A"]) == (201, "x", "1")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_headers_and_body_are_added() -> None:
    response = Response()
    response.add_header("X-B", "2")
    response.add_header("X-B", "3")
    response.add_body("caf\u00e9")
    response.add_body(b"!")
    answer = await sent(response)
    assert answer.headers.getall("X-B") == ["2", "3"]
    assert (answer.text, answer.headers["Content-Type"]) == ("caf\u00e9!", "text/plain; charset=utf-8")
    assert answer.headers["Content-Length"] == "6"


async def test_added_content_type_replaces_the_first() -> None:
    response = Response("<p>")
    response.add_header("Content-Type", "text/html")
    assert (await sent(response)).headers.getall("Content-Type") == ["text/html"]
    raw = Response()
    raw.add_body(b"\0")
    assert (await sent(raw)).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("content_type", "charset", "message"),
    [
        ("text/plain; charset=latin-1", "utf-8", "remove one of them"),
        ("text/plain; charset=klingon", None, "unknown charset"),
        (None, "klingon", "unknown charset"),
    ],
)
def test_charsets_that_contradict_or_do_not_exist_are_errors(
    content_type: str | None, charset: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Response("x", content_type=content_type, charset=charset)


async def test_status_and_reason_are_sent() -> None:
    response = await sent(Response(status=299, reason="Nearly"))
    assert (response.status, response.reason) == (299, "Nearly")
    assert (await sent(Response(status=299))).reason == ""
    assert (await sent(Response(status=201))).reason == "Created"


@pytest.mark.parametrize("status", [204, 304])
async def test_status_without_body_has_no_length(status: int) -> None:
    response = await sent(Response(body=b"ignored", status=status))
    assert (response.status, response.body) == (status, b"")
    assert not {"Content-Length", "Transfer-Encoding", "Content-Type"} & set(response.headers)


async def test_reset_content_has_a_length_of_zero() -> None:
    response = await sent(Response(body=b"ignored", status=205))
    assert (response.headers["Content-Length"], response.body) == ("0", b"")


async def test_one_response_can_be_sent_many_times() -> None:
    response = Response(text="again", headers={"X": "y"})
    for _ in range(3):
        assert (await sent(response)).text == "again"


async def test_changes_of_a_sent_response_have_no_effect() -> None:
    async def handler(request: Request) -> StreamResponse:
        response = StreamResponse()
        await response.prepare(request)
        return response

    async def late(request: Request, handler: Handler) -> StreamResponse:
        response = await handler(request)
        assert response.prepared
        response.set_status(201)
        response.headers["X"] = "y"
        response.set_cookie("name", "value")
        return response

    app = Application(middlewares=[late])
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        response = await client.get("/")
    assert response.status == 200
    assert not {"X", "Set-Cookie"} & set(response.headers)


async def test_second_response_aborts_the_first_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(request: Request) -> StreamResponse:
        await StreamResponse().prepare(request)
        return Response(text="another")

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/")
    assert [record.getMessage() for record in caplog.records] == ["GET /: another response has been started"]


async def test_stream_can_be_sent_once_only() -> None:
    stream = StreamResponse()
    assert (await sent(stream)).status == 200
    assert (await sent(stream)).status == 500


@pytest.mark.parametrize("value", BAD_VALUES)
def test_value_that_would_break_the_head_is_rejected_when_it_is_set(value: str) -> None:
    headers = Headers()
    with pytest.raises(ValueError, match="X"):
        headers["X"] = value
    with pytest.raises(ValueError, match="X"):
        headers.add("X", value)
    with pytest.raises(ValueError, match="X"):
        headers.setdefault("X", value)
    for change in (headers.update, headers.extend, headers.merge):
        with pytest.raises(ValueError, match="X"):
            change({"X": value})
        with pytest.raises(ValueError, match="X"):
            change([("X", value)])
    with pytest.raises(ValueError, match="X"):
        Response(headers={"X": value})
    assert not headers


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "\u00e9", "a\0"])
def test_name_that_is_not_a_token_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="not a header field name"):
        Headers()[name] = "x"


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Upgrade"])
def test_fields_that_frame_the_message_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="set by the framework"):
        Headers({name: "1"})


def test_value_that_is_not_text_is_rejected() -> None:
    with pytest.raises(TypeError):
        Headers({"X": 1})  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("value", BAD_VALUES)
def test_types_and_reasons_are_checked_too(value: str) -> None:
    with pytest.raises(ValueError, match="Content-Type"):
        Response(content_type=value)
    if value.strip() == value:
        with pytest.raises(ValueError, match="reason"):
            Response(reason=value)


@pytest.mark.parametrize("status", [0, 100, 199, 600, 1000])
def test_status_that_is_not_final_is_rejected(status: int) -> None:
    with pytest.raises(ValueError, match="final"):
        Response(status=status)


def test_body_of_the_wrong_kind_is_rejected() -> None:
    with pytest.raises(TypeError, match="not dict"):
        Response(body={})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="both given"):
        Response(body=b"", text="")
    with pytest.raises(ValueError, match="twice"):
        Response(content_type="a/b", headers={"Content-Type": "a/b"})


async def test_headers_are_kept_in_order_and_repeated() -> None:
    response = Response()
    response.headers.add("X", "1")
    response.headers.add("x", "2")
    assert (await sent(response)).headers.getall("X") == ["1", "2"]
    response.headers.update({"X": "3"})
    assert (await sent(response)).headers.getall("X") == ["3"]
    response.headers.merge({"X": "4", "Y": "5"})
    got = await sent(response)
    assert (got.headers.getall("X"), got.headers["Y"]) == (["3"], "5")


async def test_headers_of_the_caller_are_not_changed() -> None:
    mine = {"Content-Type": "a/b", "X": "y"}
    await sent(Response(headers=mine))
    assert mine == {"Content-Type": "a/b", "X": "y"}


async def test_date_of_the_handler_is_kept() -> None:
    response = await sent(Response(headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    assert response.headers.getall("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]


async def test_response_can_close_the_connection() -> None:
    response = Response()
    response.force_close()
    assert (await sent(response)).headers["Connection"] == "close"


async def test_cookies_are_fields_of_their_own() -> None:
    response = Response()
    response.set_cookie("a", "1")
    response.set_cookie(
        "b", "2", max_age_s=5, httponly=True, secure=True, samesite="Strict", domain="h", path="/x"
    )
    response.set_cookie("a", "3")
    response.del_cookie("c")
    assert (await sent(response)).headers.getall("Set-Cookie") == [
        "a=3; Path=/",
        "b=2; Path=/x; Max-Age=5; Domain=h; Secure; HttpOnly; SameSite=Strict",
        "c=; Path=/; Max-Age=0",
    ]


async def pieces(log: list[str]) -> AsyncIterator[bytes]:
    try:
        for piece in (b"one ", b"two"):
            log.append("piece")
            yield piece
    finally:
        log.append("closed")


async def test_iterator_is_a_body() -> None:
    log: list[str] = []
    assert (await sent(StreamResponse(pieces(log), content_type="text/plain"))).text == "one two"
    assert log == ["piece", "piece", "closed"]


async def test_iterator_is_not_used_for_head() -> None:
    log: list[str] = []
    response = await sent(StreamResponse(pieces(log)), "HEAD")
    assert (response.status, log) == (200, [])


async def test_error_of_an_iterator_aborts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for number in (1, 0):
            yield b"x" * (1 // number - 1)

    async def handler(request: Request) -> StreamResponse:
        return StreamResponse(broken())

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client, await client.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await connection.response()
    assert "ZeroDivisionError" in caplog.text


async def test_declared_length_is_sent_and_kept() -> None:
    async def handler(request: Request) -> StreamResponse:
        response = StreamResponse()
        response.content_length = 3
        await response.prepare(request)
        await response.prepare(request)
        await response.write(b"abc")
        await response.write_eof()
        await response.write_eof()
        return response

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        response = await client.get("/")
    assert (response.headers["Content-Length"], response.body) == ("3", b"abc")


async def test_writing_in_the_wrong_order_is_an_error() -> None:
    stream = StreamResponse()
    assert not stream.prepared
    with pytest.raises(RuntimeError, match="before prepare"):
        await stream.write(b"")
    with pytest.raises(RuntimeError, match="before prepare"):
        await stream.write_eof()


async def test_response_is_not_written_in_pieces(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> StreamResponse:
        response = Response(text="whole")
        await response.prepare(request)
        return response

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        assert (await client.get("/")).status == 500
    assert "sent by returning it" in caplog.text


async def test_second_response_never_follows_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """A middleware cannot replace a response that has been started."""

    async def handler(request: Request) -> StreamResponse:
        first = StreamResponse()
        await first.prepare(request)
        await first.write(b"first")
        return Response(text="second")

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client, await client.connect() as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await connection.response()
