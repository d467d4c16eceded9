from monitord.web import AppKey, Application, ApplicationView, Request, Response, json_response
from monitord.web.testing import TestClient

GREETING = AppKey("greeting", str)


def greeting_of(app: ApplicationView) -> str:
    """Functions of a program accept an application and the application of a request."""
    assert GREETING in app
    return app[GREETING]


async def echo(request: Request) -> Response:
    body = await request.text()
    return json_response([request.method, request.headers.getall("X-A", []), body, greeting_of(request.app)])


def make() -> Application:
    app = Application()
    app[GREETING] = "hello"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        app.router.add_route(method, "/", echo)
    app.router.add_head("/", echo)
    return app


async def test_each_method_has_a_call_of_its_own() -> None:
    async with TestClient(make()) as client:
        for ask, method in (
            (client.get, "GET"), (client.post, "POST"), (client.put, "PUT"), (client.patch, "PATCH"),
            (client.delete, "DELETE"), (client.options, "OPTIONS"),
        ):  # fmt: skip
            assert (await ask("/", body=b"x")).json() == [method, [], "x", "hello"]
        assert (await client.head("/")).headers["Content-Length"] == str(len('["HEAD", [], "", "hello"]'))
    assert greeting_of(make()) == "hello"


async def test_headers_are_pairs_or_a_mapping() -> None:
    async with TestClient(make()) as client:
        assert (await client.get("/", headers=[("X-A", "1"), ("X-A", "2")])).json()[1] == ["1", "2"]
        assert (await client.get("/", headers={"X-A": "1"})).json()[1] == ["1"]


async def test_body_is_bytes_or_json_or_a_form() -> None:
    async with TestClient(make()) as client:
        assert (await client.put("/", json={"a": 1})).json()[2] == '{"a": 1}'
        assert (await client.post("/", form={"a": "1 2"})).json()[2] == "a=1+2"
