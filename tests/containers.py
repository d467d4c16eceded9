"""A fake container engine on a Unix socket. It replays what Docker 20.10.24 and Podman 4.3.1 responded.

    async with fake_engine(tmp_path / "engine.sock", recorded("docker-20.10.24")) as engine:
        engine.run("web", "web-healthy")                # a container in a recorded state
        engine.change("web", ExitCode=1, Status="exited")
        await engine.emit("web", "die", exitCode="1")   # to each open event stream

Times of a state are relative to NOW, the time at which the recording was made.
"""

import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitord.clock import SystemClock
from tests.buses import until
from tests.servers import Peer, serve

RECORDED = Path(__file__).parent / "monitors" / "container" / "recorded"
ENGINES = ("docker-20.10.24", "podman-4.3.1")
NOW = datetime(2026, 11, 30, 0, 30, tzinfo=UTC)

Json = dict[str, Any]


class RecordedClock(SystemClock):
    """The wall clock shows NOW; a test advances it, and the monotonic clock with it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.ahead_s)


def recorded(engine: str) -> Json:
    found: Json = json.loads((RECORDED / f"{engine}.json").read_text())
    return found


def ago(seconds: float) -> str:
    """A time as Docker writes it, with nanoseconds."""
    return (NOW - timedelta(seconds=seconds)).isoformat()[:19] + ".123456789Z"


class FakeEngine:
    """`status`: the status of every response instead of 200. `denies_events`: only for the event stream."""

    def __init__(self, socket: Path, recording: Json) -> None:
        self.socket = socket
        self.recording = recording
        self.containers: dict[str, Json] = {}
        self.streams: list[Peer] = []
        self.opened = 0
        self.targets: list[str] = []
        self.status = 200
        self.body: bytes | None = None
        self.denies_events = False
        self.hangs = False

    def run(
        self,
        name: str,
        state: str = "plain",
        container_id: str = "",
        labels: Json | None = None,
        *,
        address: str = "",
        ports: tuple[int, ...] = (),
    ) -> Json:
        """Add a container in a recorded state under this name. `address`: in the network "bridge", while it runs."""
        found: Json = copy.deepcopy(self.recording["containers"][state])
        found["Name"] = f"/{name}"
        found["Id"] = container_id or f"{len(self.containers) + 1:064x}"
        if labels is not None:
            found["Config"]["Labels"] = labels
        if address:
            found["NetworkSettings"]["Networks"] = {"bridge": {"IPAddress": address}}
        found["Ports"] = [{"PrivatePort": port, "Type": "tcp"} for port in ports]
        found["Created"] = ago(3600)
        self.containers[name] = found
        self.change(name, StartedAt=ago(600))
        return found

    def change(self, name: str, **state: Any) -> None:
        """Change the state of a container, without an event. `RestartCount` and `RestartPolicy` are not in `State`."""
        container = self.containers[name]
        for key, value in state.items():
            if key in {"RestartCount", "Created", "Id"}:
                container[key] = value
            elif key == "RestartPolicy":
                container["HostConfig"][key] = value
            elif key == "Health":
                container["State"].setdefault("Health", {"Status": "", "Log": []})["Status"] = value
            else:
                container["State"][key] = value

    def end(self, name: str, exit_code: int, *, ago_s: float = 60.0, **state: Any) -> None:
        """Change the state to that of a container that has ended."""
        self.change(name, Status="exited", Running=False, ExitCode=exit_code, FinishedAt=ago(ago_s), **state)

    def row(self, name: str) -> Json:
        container = self.containers[name]
        found: Json = copy.deepcopy(self.recording["list"][0])
        runs = container["State"]["Running"]
        found |= {
            "NetworkSettings": {"Networks": container["NetworkSettings"]["Networks"] if runs else {}},
            "Ports": container["Ports"] if runs else [],
            "Id": container["Id"],
            "Names": [f"/{name}"],
            "State": container["State"]["Status"],
            "Labels": container["Config"]["Labels"],
        }
        return found

    def event(self, name: str, action: str, **attributes: str) -> bytes:
        """An event as recorded, of another container."""
        container = self.containers[name]
        found = copy.deepcopy(self.recording["events"][0])
        attributes = {"name": name, **(container["Config"]["Labels"] or {}), **attributes}
        found |= {"Action": action, "status": action, "id": container["Id"]}
        found["Actor"] = {"ID": container["Id"], "Attributes": attributes}
        return json.dumps(found).encode() + b"\n"

    async def emit(self, name: str, *actions: str, **attributes: str) -> None:
        await self.send(b"".join(self.event(name, action, **attributes) for action in actions))

    async def send(self, data: bytes) -> None:
        for peer in self.streams:
            await peer.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def followed(self) -> None:
        """Wait until a client receives events."""
        await until(lambda: bool(self.streams))

    async def serve(self, peer: Peer) -> None:
        request = await peer.request()
        self.targets.append(request.target)
        path, _, query = request.target.partition("?")
        if self.hangs:
            await peer.hang()
        if path == "/events":
            await self._stream(peer)
        elif self.status != 200 or self.body is not None:
            await self._respond(peer, self.status, self.body or b'{"message":"no, not now"}')
        elif path == "/containers/json":
            assert query == "all=true"
            await self._respond(peer, 200, [self.row(name) for name in self.containers])
        else:
            sought = path.removeprefix("/containers/").removesuffix("/json")
            found = [
                container
                for name, container in self.containers.items()
                if name == sought or container["Id"].startswith(sought)
            ]
            await self._respond(peer, 200 if found else 404, found[0] if found else self.recording["missing"])

    async def _respond(self, peer: Peer, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        await peer.send(head.encode(), data)

    async def _stream(self, peer: Peer) -> None:
        self.opened += 1
        if self.denies_events:
            await self._respond(peer, 403, b"")
            return
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self.streams.append(peer)
        try:
            await peer.reader.read()  # until the client, or the test, closes the connection
        finally:
            self.streams.remove(peer)


@asynccontextmanager
async def fake_engine(socket: Path, recording: Json) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(socket, recording)
    async with serve(engine.serve, path=socket):
        yield engine
    remove(socket)


def remove(socket: Path) -> None:
    socket.unlink(missing_ok=True)
