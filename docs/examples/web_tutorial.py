"""A set of users over HTTP: a first application with monitord.web.

python3 docs/examples/web_tutorial.py &
curl -X POST http://localhost:8080/ -d '{"name": "ada"}'
curl http://localhost:8080/ada
"""

import logging
import time

from monitord.web import (
    AppKey,
    Application,
    Handler,
    HTTPNotFound,
    Request,
    Response,
    StreamResponse,
    json_response,
    run_app,
)

USERS = AppKey("users", set[str])

log = logging.getLogger("tutorial")


async def log_requests(request: Request, handler: Handler) -> StreamResponse:
    began = time.perf_counter()
    try:
        return await handler(request)
    finally:
        log.info("%s %s took %.1f ms", request.method, request.url, (time.perf_counter() - began) * 1000)


async def list_users(request: Request) -> Response:
    return json_response(sorted(request.app[USERS]))


async def show_user(request: Request) -> Response:
    name = request.match_info["username"]
    if name not in request.app[USERS]:
        raise HTTPNotFound(text=f"There is no user {name}")
    return Response(text=f"Hello, {name}")


async def add_user(request: Request) -> Response:
    name = str((await request.json())["name"])
    request.app[USERS].add(name)
    where = request.app.router["user"].url_for(username=name)
    return Response(status=201, headers={"Location": str(where)})


async def load_users(app: Application) -> None:
    app[USERS] = {"grace"}


def make_app() -> Application:
    app = Application(middlewares=[log_requests])
    app.router.add_get("/", list_users)
    app.router.add_post("/", add_user)
    app.router.add_get("/{username}", show_user, name="user")
    app.on_startup.append(load_users)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    run_app(make_app())
