import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from yarl import URL

from monitord.web import (
    AppKey,
    Application,
    Handler,
    HTTPException,
    HTTPForbidden,
    HTTPFound,
    HTTPMethodNotAllowed,
    HTTPNotFound,
    HTTPUpgradeRequired,
    Peer,
    Request,
    Response,
    Server,
    StreamResponse,
    json_response,
)
from monitord.web.application import ExceptionHandler, Hook, Middleware
from monitord.web.testing import SocketClient, TestClient

LOG = AppKey("log", list[str])
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


async def ok(request: Request) -> Response:
    return Response(text="ok")


def noting(name: str) -> Middleware:
    """A middleware that records its entry and its result."""

    async def middleware(request: Request, handler: Handler) -> StreamResponse:
        log = request.app[LOG]
        log.append(f"{name} in")
        try:
            response = await handler(request)
        except Exception as error:
            log.append(f"{name} {error}")
            raise
        log.append(f"{name} {response.status}")
        return response

    return middleware


def make(*names: str) -> Application:
    app = Application(middlewares=[noting(name) for name in names])
    app[LOG] = []
    app.router.add_get("/", ok)
    return app


async def raising(request: Request) -> Response:
    raise HTTPForbidden(text="no")


async def returning(request: Request) -> Response:
    return HTTPForbidden(text="no")


async def failing(request: Request) -> Response:
    raise LookupError("<secret> & more")


# Middlewares.


async def test_first_middleware_is_outermost() -> None:
    app = make("outer", "inner")
    async with TestClient(app) as client:
        assert (await client.get("/")).text == "ok"
    assert app[LOG] == ["outer in", "inner in", "inner 200", "outer 200"]


@pytest.mark.parametrize(
    ("method", "target", "status", "seen"),
    [
        ("GET", "/nowhere", 404, "m 404 Not Found"),
        ("DELETE", "/", 405, "m 405 Method Not Allowed"),
        ("OPTIONS", "/", 204, "m 204"),
    ],
)
async def test_middlewares_process_unmatched_requests(
    method: str, target: str, status: int, seen: str
) -> None:
    app = make("m")
    async with TestClient(app) as client:
        assert (await client.request(method, target)).status == status
    assert app[LOG] == ["m in", seen]


async def test_middleware_has_access_to_the_route() -> None:
    seen: list[str | None] = []

    async def middleware(request: Request, handler: Handler) -> StreamResponse:
        seen.append(request.route.resource.template if request.route else None)
        return await handler(request)

    app = Application(middlewares=[middleware])
    app.router.add_get("/u/{name}", ok)
    async with TestClient(app) as client:
        await client.get("/u/x")
        await client.get("/v")
    assert seen == ["/u/{name}", None]


async def test_middleware_can_respond_without_the_handler() -> None:
    async def middleware(request: Request, handler: Handler) -> StreamResponse:
        return Response(text="mine")

    app = Application(middlewares=[middleware])
    async with TestClient(app) as client:
        assert (await client.get("/nowhere")).text == "mine"


# 404, 405, OPTIONS.


async def test_wrong_method_is_answered_with_allow() -> None:
    app = make()
    app.router.add_post("/", ok)
    async with TestClient(app) as client:
        response = await client.request("DELETE", "/")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_options_are_answered_without_a_handler() -> None:
    async with TestClient(make()) as client:
        response = await client.request("OPTIONS", "/")
        assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
        assert (await client.request("OPTIONS", "*")).status == 204
        assert (await client.request("OPTIONS", "/nowhere")).status == 404


# Exceptions.


async def test_http_exception_can_be_raised_or_returned() -> None:
    app = make()
    app.router.add_get("/raise", raising)
    app.router.add_get("/return", returning)
    async with TestClient(app) as client:
        for path in ("/raise", "/return"):
            response = await client.get(path)
            assert (response.status, response.text) == (403, "no")


async def test_redirect_has_a_location() -> None:
    async def view(request: Request) -> Response:
        raise HTTPFound("/a b/\u043f?x=1\r\nX: y")

    app = make()
    app.router.add_get("/x", view)
    async with TestClient(app) as client:
        response = await client.get("/x")
    assert (response.status, response.headers["Location"]) == (302, "/a%20b/%D0%BF?x=1%0D%0AX:%20y")


async def test_required_upgrade_names_its_protocol() -> None:
    """RFC 9110 sections 7.6.1, 7.8 and 15.5.22."""

    async def old(request: Request) -> Response:
        raise HTTPUpgradeRequired("HTTP/2.0")

    app = Application()
    app.router.add_get("/", old)
    async with TestClient(app) as client, await client.connect() as connection:
        for _ in range(2):
            response = await connection.request("GET", "/")
            assert (response.status, response.headers["Upgrade"]) == (426, "HTTP/2.0")
            assert response.headers["Connection"] == "upgrade"


def test_redirect_without_location_is_an_error() -> None:
    for location in ("", URL()):
        with pytest.raises(ValueError, match="location of a redirection is empty"):
            HTTPFound(location)


async def test_bug_is_a_500_with_only_its_number(caplog: pytest.LogCaptureFixture) -> None:
    app = make()
    app.router.add_get("/fail", failing)
    async with TestClient(app) as client:
        response = await client.get("/fail")
        assert response.status == 500
        assert "secret" not in response.text
        number = response.text.split("Number ")[1].split()[0]
        assert f"error {number} in GET /fail" in caplog.text
        assert "LookupError: <secret>" in caplog.text
        as_json = await client.get("/fail", headers=[("Accept", "text/html, application/json")])
        assert set(as_json.json()) == {"error", "id"}
        assert "secret" not in as_json.text


async def test_debug_shows_the_traceback_escaped() -> None:
    app = Application(debug=True)
    app.router.add_get("/fail", failing)
    async with SocketClient(app) as client:
        response = await client.get("/fail")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "LookupError: &lt;secret&gt; &amp; more" in response.text


async def test_debug_shows_no_traceback_to_other_machines() -> None:
    """Tracebacks are shown only to loopback addresses and local processes."""
    assert not Peer(address="192.0.2.1", port=1).is_local
    assert not Peer().is_local
    assert Peer(address="127.8.8.8", port=1).is_local
    assert Peer(address="::1", port=1).is_local
    assert Peer(uid=0).is_local


@pytest.mark.parametrize("result", [None, "text", {"a": 1}])
async def test_handler_that_returns_no_response_is_a_bug(
    result: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def view(request: Request) -> Response:
        return result  # type: ignore[return-value]  # that is the bug

    app = make()
    app.router.add_get("/x", view)
    async with TestClient(app) as client:
        assert (await client.get("/x")).status == 500
    assert "instead of a response" in caplog.text


async def test_cancelled_wait_inside_a_handler_is_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def view(request: Request) -> Response:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        return Response()

    app = make()
    app.router.add_get("/x", view)
    async with TestClient(app) as client, await client.connect() as connection:
        assert (await connection.request("GET", "/x")).status == 500
        assert (await connection.request("GET", "/")).status == 200


async def test_exception_handler_handles_subclasses() -> None:
    app = make("outer", "inner")
    app.router.add_get("/fail", failing)
    app.router.add_get("/no", raising)

    @app.exception_handler(LookupError)
    async def not_found(request: Request, error: Exception) -> Response:
        return json_response({"lost": str(error)}, status=404)

    @app.exception_handler(403)
    async def forbidden(request: Request, error: HTTPException) -> Response:
        return json_response({"why": error.text}, status=error.status)

    async with TestClient(app) as client:
        assert (await client.get("/fail")).json() == {"lost": "<secret> & more"}
        assert app[LOG] == ["outer in", "inner in", "inner 404", "outer 404"]
        assert (await client.get("/no")).json() == {"why": "no"}
        assert (await client.get("/nowhere")).status == 404


async def test_exception_of_a_middleware_is_handled() -> None:
    async def guard(request: Request, handler: Handler) -> StreamResponse:
        raise HTTPForbidden

    app = Application(middlewares=[noting("outer"), guard])
    app[LOG] = []
    app.router.add_get("/", ok)

    async def forbidden(request: Request, error: HTTPException) -> Response:
        return json_response("stop", status=403)

    app.add_exception_handler(HTTPForbidden, forbidden)
    async with TestClient(app) as client:
        assert (await client.get("/")).json() == "stop"
    assert app[LOG] == ["outer in", "outer 403"]


async def test_handler_for_all_exceptions_does_not_handle_http_exceptions() -> None:
    app = make()
    app.router.add_get("/fail", failing)

    async def anything(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return error
        return Response(text="sorry", status=503)

    app.add_exception_handler(Exception, anything)
    async with TestClient(app) as client:
        assert (await client.get("/fail")).status == 503
        assert (await client.get("/nowhere")).status == 404


# Sub-applications.


async def test_mounted_application_answers_below_its_prefix() -> None:
    inner = make("inner")
    inner.router.add_get("/u/{id:int}", ok, name="user")
    deep = make("deep")
    deep.router.add_get("/leaf", ok, name="leaf")
    inner.add_subapp("/deep", deep)
    app = make("outer")
    app.add_subapp("/in", inner)
    async with TestClient(app) as client:
        assert (await client.get("/in/")).text == "ok"
        assert (await client.get("/in/u/3")).text == "ok"
        assert (await client.get("/in/deep/leaf")).text == "ok"
        assert (await client.get("/u/3")).status == 404
        assert (await client.request("DELETE", "/in/u/3")).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert str(inner.router["user"].url_for(id=3)) == "/in/u/3"
    assert str(deep.router["leaf"].url_for()) == "/in/deep/leaf"


async def test_middlewares_of_a_mounted_application_are_inside_those_of_its_parent() -> None:
    log: list[str] = []
    inner, app = make("inner"), make("outer")
    inner[LOG] = app[LOG] = log
    app.add_subapp("/in", inner)
    async with TestClient(app) as client:
        await client.get("/in/")
        assert log == ["outer in", "inner in", "inner 200", "outer 200"]
        log.clear()
        await client.get("/in/nowhere")
        assert log == ["outer in", "inner in", "inner 404 Not Found", "outer 404 Not Found"]
        log.clear()
        await client.get("/inside")
        assert log == ["outer in", "outer 404 Not Found"]


async def test_request_has_the_application_of_its_route() -> None:
    key = AppKey("name", str)

    async def name(request: Request) -> Response:
        return Response(text=request.app[key])

    inner, app = Application(), Application()
    for application, text in ((inner, "inner"), (app, "outer")):
        application[key] = text
        application.router.add_get("/name", name)
    app.add_subapp("/in", inner)
    async with TestClient(app) as client:
        assert (await client.get("/name")).text == "outer"
        assert (await client.get("/in/name")).text == "inner"


async def test_mounted_application_reads_the_keys_of_its_parent() -> None:
    below, above, nowhere = AppKey("below", str), AppKey("above", str), AppKey("nowhere", str)
    inner, deep = Application(), Application()

    async def names(request: Request) -> Response:
        assert nowhere not in request.app
        with pytest.raises(KeyError, match="nowhere"):
            request.app[nowhere]
        return Response(text=f"{request.app[below]} {request.app[above]} {above in request.app}")

    async def seeing(request: Request, handler: Handler) -> StreamResponse:
        assert request.app[above] == "above"
        return await handler(request)

    app = Application(middlewares=[seeing])
    app[above] = app[below] = "above"
    deep[below] = "below"
    deep.router.add_get("/", names)
    inner.add_subapp("/deep", deep)
    app.add_subapp("/in", inner)
    async with TestClient(app) as client:
        assert (await client.get("/in/deep/")).text == "below above True"
    assert app[below] == "above"


async def test_prefix_matches_every_percent_encoding() -> None:
    inner, app = make("inner"), make("outer")
    inner.router.add_get("/x", ok, name="x")
    app.add_subapp("/caf\u00e9 1", inner)
    async with TestClient(app) as client:
        for path in ("/caf%C3%A9%201/x", "/%63af%c3%a9%201/x"):
            assert (await client.get(path)).text == "ok"
        for path in ("/caf%C3%A9%201/none", "/%63af%c3%a9%201/none"):
            app[LOG].clear()
            assert (await client.get(path)).status == 404
            assert app[LOG] == ["outer in", "inner in", "inner 404 Not Found", "outer 404 Not Found"]
    assert str(inner.router["x"].url_for()) == "/caf%C3%A9%201/x"


async def test_exception_of_a_mounted_application_is_handled_by_it_first() -> None:
    inner, app = make(), make()
    inner.router.add_get("/fail", failing)
    inner.router.add_get("/no", raising)

    def answering(text: str) -> ExceptionHandler:
        async def answer(request: Request, error: Exception) -> Response:
            return Response(text=text)

        return answer

    inner.add_exception_handler(LookupError, answering("inner"))
    app.add_exception_handler(LookupError, answering("outer"))
    app.add_exception_handler(403, answering("outer 403"))
    app.add_subapp("/in", inner)
    async with TestClient(app) as client:
        assert (await client.get("/in/fail")).text == "inner"
        assert (await client.get("/in/no")).text == "outer 403"


def test_application_is_mounted_once_and_below_a_literal_prefix() -> None:
    app, inner = Application(), Application()
    for prefix in ("", "/", "x", "/x/", "/{x}", "/x?y", "/x#y"):
        with pytest.raises(ValueError, match=r"a prefix must|a path must begin|a path cannot contain"):
            app.add_subapp(prefix, inner)
    app.add_subapp("/x", inner)
    with pytest.raises(ValueError, match="below itself"):
        inner.add_subapp("/up", app)
    with pytest.raises(ValueError, match="already mounted"):
        app.add_subapp("/y", inner)
    with pytest.raises(ValueError, match="already mounted"):
        app.add_subapp("/z", app)
    with pytest.raises(ValueError, match="already used"):
        app.add_subapp("/x", Application())


def test_conflict_with_a_mounted_route_is_an_error_at_start() -> None:
    app, inner = make(), make()
    app.router.add_get("/in/", ok)
    app.add_subapp("/in", inner)
    with pytest.raises(ValueError, match="already exists"):
        app.freeze()


# Lifecycle.


def living(log: list[str], name: str = "") -> Application:
    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        log.append(f"{name}enter")
        try:
            yield
        finally:
            log.append(f"{name}leave")

    def note(text: str) -> Hook:
        async def hook(app: Application) -> None:
            log.append(name + text)

        return hook

    app = Application(lifespan=lifespan)
    for hooks, text in ((app.on_startup, "start"), (app.on_shutdown, "shut"), (app.on_cleanup, "clean")):
        hooks += [note(f"{text} 1"), note(f"{text} 2")]
    app.router.add_get("/", ok)
    return app


async def test_hooks_run_in_order_and_in_reverse() -> None:
    log: list[str] = []
    async with TestClient(living(log)) as client:
        await client.get("/")
    assert log == ["enter", "start 1", "start 2", "shut 2", "shut 1", "clean 2", "clean 1", "leave"]


async def test_hooks_of_mounted_applications_run_inside() -> None:
    log: list[str] = []
    app = living(log)
    app.add_subapp("/in", living(log, "in "))
    async with TestClient(app):
        log.clear()
    assert log == [
        "in shut 2", "in shut 1", "shut 2", "shut 1", "in clean 2", "in clean 1", "clean 2", "clean 1", "in leave",
        "leave",
    ]  # fmt: skip


async def test_start_that_fails_is_cleaned_up() -> None:
    log: list[str] = []
    app = living(log)

    async def broken(app: Application) -> None:
        raise RuntimeError("no database")

    app.on_startup.append(broken)
    with pytest.raises(RuntimeError, match="no database"):
        await Server(app).start()
    assert log == ["enter", "start 1", "start 2", "clean 2", "clean 1", "leave"]


async def test_hook_that_fails_at_the_end_does_not_stop_the_others() -> None:
    log: list[str] = []
    app = living(log)

    async def broken(app: Application) -> None:
        raise RuntimeError("cannot")

    app.on_shutdown.append(broken)
    app.on_cleanup.append(broken)
    with pytest.raises(RuntimeError, match="cannot"):
        async with TestClient(app):
            log.clear()
    assert log == ["shut 2", "shut 1", "clean 2", "clean 1", "leave"]


async def test_running_application_cannot_be_changed() -> None:
    key, late = AppKey("key", int), AppKey("late", int)
    app = make()
    app[key] = 1
    async with TestClient(app):
        app[key] = 2
        with pytest.raises(RuntimeError, match="has started"):
            app[late] = 1
        with pytest.raises(RuntimeError, match="has started"):
            app.router.add_get("/late", ok)
        with pytest.raises(RuntimeError, match="has started"):
            app.add_subapp("/late", Application())
        with pytest.raises(RuntimeError, match="has started"):
            app.add_exception_handler(404, lambda request, _: raising(request))
        for late_list in (app.middlewares, app.on_startup, app.on_shutdown, app.on_cleanup):
            with pytest.raises(RuntimeError, match="has started"):
                late_list.append(ok)  # type: ignore[arg-type]  # any value is too late
    assert (app[key], late in app) == (2, False)


async def test_keys_can_be_set_at_start_up() -> None:
    key = AppKey("key", int)

    async def start(app: Application) -> None:
        app[key] = 7

    app = make()
    app.on_startup.append(start)
    async with TestClient(app):
        assert app[key] == 7


def test_key_shows_its_name_and_type() -> None:
    assert repr(AppKey("users", set[str])) == "<AppKey users: set>"


def test_http_exceptions_do_not_share_headers() -> None:
    first, second = HTTPNotFound(), HTTPNotFound()
    first.headers["X"] = "y"
    assert "X" not in second.headers
    assert (str(first), first.text) == ("404 Not Found", "404: Not Found")


@pytest.mark.parametrize(
    ("error", "phrase", "text"),
    [
        (HTTPNotFound(reason="No such user"), "No such user", "No such user"),
        (HTTPNotFound("No such user"), "No such user", "No such user"),
        (HTTPNotFound(reason="No such user", text="none"), "No such user", "none"),
        (HTTPNotFound(reason="Niemand hei\u00dft so"), "Niemand hei\u00dft so", "Niemand hei\u00dft so"),
        (HTTPNotFound(reason="\u4e0d\u5728"), "Not Found", "\u4e0d\u5728"),
        (HTTPNotFound(reason="two\nlines"), "Not Found", "two\nlines"),
        (HTTPNotFound(reason=""), "", ""),
        (HTTPFound("/elsewhere", reason="Moved for now"), "Moved for now", "Moved for now"),
        (HTTPFound("/elsewhere"), "Found", "302: Found"),
        (HTTPMethodNotAllowed("GET", ["POST"], reason="Write only"), "Write only", "Write only"),
        (HTTPUpgradeRequired("TLS/1.2", reason="Use TLS"), "Use TLS", "Use TLS"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_reason_is_the_body_of_an_http_exception(error: HTTPException, phrase: str, text: str) -> None:
    async def handler(request: Request) -> Response:
        raise error

    app = Application()
    app.router.add_get("/", handler)
    async with TestClient(app) as client:
        answer = await client.get("/")
    assert (answer.status, answer.reason, answer.text) == (error.status_code, phrase, text)


async def test_context_variables_are_local_to_a_request() -> None:
    async def remember(request: Request) -> Response:
        before = NAME.get()
        NAME.set(request.match_info["name"])
        if request.query_string:
            await asyncio.sleep(0)
        return Response(text=f"{before} {NAME.get()}")

    app = Application()
    app.router.add_get("/{name}", remember)
    async with TestClient(app) as client, await client.connect() as connection:
        for target in ("/ada", "/grace", "/joan?waits", "/ada?waits"):
            response = await connection.request("GET", target)
            assert response.text == f"nobody {target[1:].partition('?')[0]}"


async def test_timeouts_and_task_groups_work_in_handlers() -> None:
    async def late(request: Request) -> Response:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return Response(text="late")

    app = Application()
    app.router.add_get("/", late)
    async with TestClient(app) as client, await client.connect() as connection:
        for _ in range(3):
            assert (await connection.request("GET", "/")).text == "late"


@pytest.mark.parametrize("reads", [False, True])
async def test_body_cannot_be_read_after_the_response_is_sent(reads: bool) -> None:
    """A task of a handler can outlive its request. It must not read or send data of the next request."""
    kept: list[Request] = []

    async def keep(request: Request) -> Response:
        kept.append(request)
        if reads:
            await request.read()
        return Response(text="kept")

    app = Application()
    app.router.add_get("/", keep)
    async with TestClient(app) as client, await client.connect() as connection:
        assert (await connection.request("GET", "/")).text == "kept"
        with pytest.raises(RuntimeError, match="can no longer be read"):
            await kept[0].exchange.read_body()
        with pytest.raises(RuntimeError, match="another response to this request has been started"):
            await StreamResponse().prepare(kept[0])
        assert (await connection.request("GET", "/")).text == "kept"


@pytest.mark.parametrize("returns", [False, True])
async def test_repeatedly_raised_exception_collects_no_frames(returns: bool) -> None:
    constant = HTTPNotFound(text="constant")

    async def raising_constant(request: Request) -> Response:
        try:
            return Response(text=request.match_info["none"])
        except KeyError as error:
            raise constant from error

    async def passing(request: Request, handler: Handler) -> StreamResponse:
        try:
            return await handler(request)
        except HTTPException as error:
            if returns:
                return error
            raise

    app = Application(middlewares=[passing])
    app.router.add_get("/", raising_constant)
    async with TestClient(app) as client:
        for method in ("GET", "HEAD"):
            assert (await client.request(method, "/")).status == 404
            assert (constant.__traceback__, constant.__context__, constant.__cause__) == (None, None, None)


async def test_exception_as_response_leaves_no_reference_cycle() -> None:
    app = make()
    app.router.add_get("/raising", raising)
    async with TestClient(app) as client, await client.connect() as connection:
        await connection.request("GET", "/raising")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await connection.request("GET", "/raising")
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [item for item in gc.garbage if isinstance(item, (Request, HTTPException))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("error", "has_default_text"),
    [
        (HTTPNotFound(), True),
        (HTTPNotFound(text="404: Not Found"), False),
        (HTTPNotFound("404: Not Found"), False),
        (HTTPNotFound(body=b"404: Not Found"), False),
    ],
    ids=["default", "text", "reason", "body"],
)
def test_default_text_of_an_error_is_marked(
    error: HTTPException,
    has_default_text: bool,
) -> None:
    assert error.has_default_text is has_default_text
