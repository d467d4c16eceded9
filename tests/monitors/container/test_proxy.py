"""docs/examples/nginx-containers.conf permits what monitord needs, and nothing else."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.net import HttpClient, HttpExchange, HttpRequest, Resolver, TlsContexts
from monitord.net.containers import ContainerEvent, Containers
from tests.buses import until
from tests.containers import ENGINES, FakeEngine, fake_engine, recorded
from tests.net.conftest import in_time

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "nginx-containers.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@asynccontextmanager
async def proxy(folder: Path, engine: FakeEngine) -> AsyncIterator[Path]:
    """Run nginx with the example, with other paths of its sockets."""
    socket = folder / "proxy.sock"
    example = EXAMPLE.read_text().replace("/run/monitord-containers/docker.sock", str(socket))
    example = example.replace("/run/docker.sock", str(engine.socket))
    user = "user root;" if os.geteuid() == 0 else ""  # the socket of the test belongs to root then
    temporary = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; worker_processes 1; {user}\nevents {{}}\nhttp {{\n{temporary}\n{example}\n}}\n"
    )
    assert NGINX is not None
    process = await asyncio.create_subprocess_exec(
        *(NGINX, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log"))
    )
    try:
        await until(socket.exists)
        yield socket
    finally:
        process.terminate()
        await process.wait()


async def test_example_permits_queries_and_events_only(tmp_path: Path) -> None:
    containers = Containers()
    client = HttpClient(user_agent="tests", resolver=Resolver(), tls_contexts=TlsContexts())
    seen: list[ContainerEvent | None] = []
    async with fake_engine(tmp_path / "engine.sock", recorded(ENGINES[0])) as engine:
        engine.run("web")
        async with proxy(tmp_path, engine) as socket:
            containers.follow(str(socket), seen.append)
            await engine.followed()
            await engine.emit("web", "die", exitCode="1")
            await until(lambda: len(seen) == 1)
            assert [row.name for row in await containers.list(str(socket), deadline=in_time())] == ["web"]
            assert await containers.inspect(str(socket), "web", deadline=in_time()) is not None
            asked = len(engine.targets)
            base = f"http+unix://{str(socket).replace('/', '%2F')}"
            for method, path in (
                ("POST", "/containers/create"),
                ("POST", "/containers/web/json"),
                ("DELETE", "/containers/web"),
                ("GET", "/containers/web/export"),
                ("GET", "/images/json"),
                ("GET", "/containers/a/../../images/json"),
                ("GET", "/containers/..%2Fimages/json"),
                ("GET", "/secrets"),
            ):
                request = HttpRequest(url=f"{base}{path}", method=method)
                outcome = await client.fetch(request, deadline=in_time())
                assert isinstance(outcome, HttpExchange)
                assert outcome.status in {400, 403, 405}, (method, path)
            assert len(engine.targets) == asked
            await containers.close()
    await client.close()
