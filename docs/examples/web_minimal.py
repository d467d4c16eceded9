# ruff: noqa: ANN001, ANN201 - as short as possible
"""A minimal application: a startup hook, a middleware, a raised 404 and a greeting.

python3 docs/examples/web_minimal.py &
curl http://localhost:8080/john_doe
"""

from monitord.web import Application, HTTPNotFound, Response, run_app


async def connect(app):
    app.db = {"john_doe": "John Doe"}


async def log(request, handler):
    print(f"{request.method} {request.url.raw_path}", flush=True)
    return await handler(request)


async def greet(request):
    name = request.app.db.get(request.match_info["username"])
    if name is None:
        raise HTTPNotFound(reason="No such user")
    return Response(f"Welcome, {name}!")


app = Application(middlewares=[log])
app.on_startup.append(connect)
app.router.add_route("GET", "/{username}", greet)

if __name__ == "__main__":
    run_app(app, host="127.0.0.1", port=8080)
