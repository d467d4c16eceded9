"""The daemon as a process, with the test as its service manager."""

import asyncio
import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitord.cli.client.connection import Client, HTTPStatusError
from monitord.cli.control_command import main as ask
from monitord.clock import SystemClock
from monitord.history import History, HistorySettings
from monitord.web import Application, HTTPServiceUnavailable, Request, Response, Server
from tests.systemd_package.fakes import FakeManager

ROOT = Path(__file__).parent.parent
DEADLINE_S = 20.0


class Process:
    """A running monitord, its log, and its messages to the service manager."""

    def __init__(self, folder: Path, manager: FakeManager) -> None:
        self.folder = folder
        self.manager = manager
        self.config = folder / "monitord.toml"
        self.socket = folder / "run" / "status.sock"
        self.log_file = folder / "log"
        self.client = Client(self.socket)
        self.notifications: list[str] = []
        self.process: subprocess.Popen[bytes]

    def start(
        self,
        *,
        listening: socket.socket | None = None,
        named: str = "status",
        command: Sequence[str] = (),
        **environ: str,
    ) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": self.manager.address,
            "RUNTIME_DIRECTORY": str(self.socket.parent),
            **environ,
        }
        command = list(command) or [sys.executable, "-m", "monitord", "--config", str(self.config)]
        if listening is not None:
            # What systemd does between fork and exec: descriptor 3, and the pid that it is for.
            os.set_inheritable(listening.fileno(), True)
            script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$NAMED exec "$@"'
            environment["NAMED"] = named
            command = ["bash", "-c", script, "start", str(listening.fileno()), *command]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stderr=log,
                stdout=log,
                pass_fds=[listening.fileno()] if listening else [],
            )

    def log(self) -> str:
        return self.log_file.read_text()

    def wait_for_notification(self, text: str) -> str:
        """The first notification that holds `text`; it is taken out, as are those before it."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            self.notifications += self.manager.notifications()
            for index, notification in enumerate(self.notifications):
                if text in notification:
                    del self.notifications[: index + 1]
                    return notification
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {text} among {self.notifications}; log:\n{self.log()}")

    def wait_for_log(self, text: str) -> None:
        until = time.monotonic() + DEADLINE_S
        while text not in self.log():
            if time.monotonic() > until:
                raise AssertionError(f"no {text!r} in the log:\n{self.log()}")
            time.sleep(0.01)

    def get(self, target: str) -> Any:
        return self.client.get(target)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def daemon(tmp_path: Path, config: str) -> Iterator[Process]:
    with FakeManager(str(tmp_path / "notify")) as manager:
        made = Process(tmp_path, manager)
        made.config.write_text(config)
        try:
            yield made
        finally:
            if made.process.poll() is None:
                made.process.kill()
            made.process.wait()


@asynccontextmanager
async def web_server() -> AsyncIterator[int]:
    """Run a web server to monitor. Yields its port."""

    async def fine(_: Request) -> Response:
        return Response(text="x" * 648)

    async def failing(_: Request) -> Response:
        raise HTTPServiceUnavailable

    application = Application()
    application.router.add_get("/", fine)
    application.router.add_get("/failing", failing)
    async with Server(application, host="127.0.0.1", port=0, grace_s=0.1) as server:
        yield server.port


EMPTY = "[monitors]\n"


@pytest.mark.parametrize("says", [True, False])
def test_start_without_a_state_directory_logs_that_nothing_is_stored(tmp_path: Path, says: bool) -> None:
    kept = "" if says else f'[history]\ndirectory = "{tmp_path}"\n'
    with daemon(tmp_path, kept + EMPTY) as it:
        it.start()
        it.wait_for_notification("READY=1")
        assert ("states and history are not stored" in it.log()) is says
        assert (tmp_path / "history.sqlite3").exists() is not says
        assert it.stop() == 0


def test_daemon_is_ready_when_its_socket_answers_and_stops_cleanly(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it:
        it.start()
        it.wait_for_notification("READY=1")
        assert it.get("/status")["state"] == "running"
        assert it.stop() == 0
        assert any(
            "STOPPING=1" in notification for notification in it.notifications + it.manager.notifications()
        )
        assert not it.socket.exists()


async def test_checks_run_and_are_judged_logged_and_counted(tmp_path: Path) -> None:
    async with web_server() as port:
        config = f"""
[defaults]
check_every = 0.3
retry_every = 0.1
[monitors.good]
url = "http://127.0.0.1:{port}/"
[monitors.bad]
url = "http://127.0.0.1:{port}/failing"
"""

        def look() -> None:
            with daemon(tmp_path, config) as it:
                it.start()
                it.wait_for_notification("READY=1")
                it.wait_for_notification("STATUS=2 monitors: 1 up, 1 down")
                status = it.get("/status")
                assert (status["monitors"]["up"], status["monitors"]["down"], status["worst_state"]) == (
                    1,
                    1,
                    "down",
                )
                good = it.get("/monitors/good")["last_result"]
                assert good["fields"]["status"] == 200
                assert good["fields"]["body.length"] == 648
                assert it.get("/monitors/bad")["last_result"]["fields"]["status"] == 503
                assert it.stop(signal.SIGINT) == 0
                assert f"good: GET http://127.0.0.1:{port}/ 200, 648 bytes, " in it.log()
                assert "bad is down (was pending): GET" in it.log()
                assert "good is up (was pending)" in it.log()

        await asyncio.to_thread(look)


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_daemon_listens_logs_and_stores_as_configured(tmp_path: Path, enabled: str) -> None:
    own, kept = tmp_path / "own.sock", tmp_path / "kept"
    kept.mkdir()
    keys = f'[status]\nsocket = "{own}"\n[log]\nlevel = "warning"\n'
    keys += f'[history]\ndirectory = "{kept}"\nenabled = {enabled}\n'
    with daemon(tmp_path, keys) as it:
        it.start()
        it.wait_for_notification("READY=1")
        assert Client(own).get("/healthz") == "ok\n"
        assert not it.socket.exists()
        assert it.stop() == 0
        assert it.log() == ""
    assert (kept / "history.sqlite3").exists() is (enabled == "true")


def test_hangup_signal_reloads_and_rejects_a_broken_configuration(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it:
        it.start()
        it.wait_for_notification("READY=1")
        it.config.write_text('[monitors.new]\nurl = "http://127.0.0.1:1/"\n')
        it.process.send_signal(signal.SIGHUP)
        it.wait_for_notification("RELOADING=1")
        it.wait_for_notification("READY=1")
        assert it.get("/status")["monitors"]["total"] == 1
        it.config.write_text("x = ")
        it.process.send_signal(signal.SIGHUP)
        it.wait_for_notification("RELOADING=1")
        it.wait_for_notification("READY=1")
        status = it.get("/status")
        assert status["monitors"]["total"] == 1
        assert status["reload"]["status"] == "rejected"
        assert f"{it.config}:1:" in status["reload"]["error"]
        assert f"{it.config}:1:" in it.log()
        assert it.stop() == 0


def test_hangup_signal_during_the_start_does_not_end_the_daemon(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it:
        it.start()
        until = time.monotonic() + DEADLINE_S
        # From the moment that Python has set its handler (bit 0 of SigCgt is SIGHUP) to READY.
        while time.monotonic() < until:
            caught = Path(f"/proc/{it.process.pid}/status").read_text().split("SigCgt:")[1].split()[0]
            if int(caught, 16) & 1:
                break
        it.process.send_signal(signal.SIGHUP)
        it.wait_for_notification("READY=1")
        it.wait_for_log("reloaded, requested by SIGHUP")
        assert it.stop() == 0


HANGUP_DURING_IMPORTS = """
import os, runpy, signal, sys

class Finder:
    def find_spec(name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Finder)
sys.argv = ["monitord", "--config", {config!r}]
runpy.run_module("monitord", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "module", ["monitord.cli.daemon.command", "monitord.application", "httptools", "monitord.daemon"]
)
def test_hangup_signal_during_the_imports_is_a_reload(tmp_path: Path, module: str) -> None:
    with daemon(tmp_path, EMPTY) as it:
        program = HANGUP_DURING_IMPORTS.format(module=module, config=str(it.config))
        it.start(command=[sys.executable, "-c", program])
        it.wait_for_notification("READY=1")
        it.wait_for_log("reloaded, requested by SIGHUP")
        blocked = Path(f"/proc/{it.process.pid}/status").read_text().split("SigBlk:")[1].split()[0]
        assert int(blocked, 16) == 0  # programs of checks would inherit it
        assert it.stop() == 0


def test_start_with_a_broken_configuration_ends_with_78_and_every_error(tmp_path: Path) -> None:
    with daemon(
        tmp_path, '[monitors.a]\nurl = "http://127.0.0.1/"\nchek_every = 3\n[log]\nlevel = "loud"\n'
    ) as it:
        it.start()
        assert it.process.wait(DEADLINE_S) == 78
        assert f'{it.config}:3: monitors.a.chek_every: unknown key; did you mean "check_every"?' in it.log()
        assert f"{it.config}:5: log.level:" in it.log()


def test_client_of_a_daemon_that_cannot_start_gets_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the service manager would start it repeatedly, as long as a client waits."""
    path = tmp_path / "waited.sock"
    with socket.socket(socket.AF_UNIX) as listening, daemon(tmp_path, "[monitors.a]\nchek_every = 3\n") as it:
        listening.bind(str(path))
        listening.listen()
        statuses: list[int] = []
        asking = threading.Thread(target=lambda: statuses.append(ask(["--socket", str(path), "status"])))
        asking.start()
        assert select.select([listening], [], [], DEADLINE_S)[0]  # it waits
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            it.start(listening=listening)
            assert it.process.wait(DEADLINE_S) == 78
            asking.join(DEADLINE_S)
            silent.settimeout(DEADLINE_S)
            assert silent.recv(65536).startswith(b"HTTP/1.1 503 ")
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    said = capsys.readouterr().err
    assert statuses == [3]
    assert f"monitorctl: monitord did not start: its configuration is rejected\n{it.config}:" in said
    assert said.endswith("fix it, then run: systemctl start monitord\n")


def test_configuration_errors_are_not_sent_over_tcp(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        daemon(tmp_path, "[monitors.secret]\nx = 3\n") as it,
        socket.create_connection(listening.getsockname()) as client,
    ):
        client.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        it.start(listening=listening)
        assert it.process.wait(DEADLINE_S) == 78
        client.settimeout(DEADLINE_S)
        answer = client.recv(65536)
    assert answer.endswith(b"\r\n\r\nmonitord did not start: its configuration is rejected\n")


def test_configuration_errors_are_not_shown_to_a_page_of_another_site(tmp_path: Path) -> None:
    """A browser may reach the Unix socket by `ssh -L`, under a name of its page (DNS rebinding)."""
    answers = {}
    with (
        socket.socket(socket.AF_UNIX) as listening,
        daemon(tmp_path, "[monitors.secret]\nx = 3\n") as it,
        contextlib.ExitStack() as clients,
    ):
        listening.bind(str(tmp_path / "forwarded.sock"))
        listening.listen()
        asked = {}
        for host in ("localhost:8080", "evil.example.com:8080"):
            asked[host] = clients.enter_context(socket.socket(socket.AF_UNIX))
            asked[host].connect(str(tmp_path / "forwarded.sock"))
            asked[host].sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        it.start(listening=listening)
        assert it.process.wait(DEADLINE_S) == 78
        for host, client in asked.items():
            client.settimeout(DEADLINE_S)
            answers[host] = client.recv(65536)
    assert b"monitors.secret" in answers["localhost:8080"]
    assert b"503" in answers["evil.example.com:8080"]
    assert b"monitors.secret" not in answers["evil.example.com:8080"]


def test_socket_that_cannot_be_opened_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with daemon(tmp_path, f'[status]\nsocket = "{tmp_path}/file/status.sock"\n') as it:
        it.start()
        assert it.process.wait(DEADLINE_S) == 1
        assert "cannot" in it.log()
        assert "socket" in it.log()


def test_watchdog_is_pinged_only_while_the_event_loop_runs(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it:
        it.start(WATCHDOG_USEC="300000")
        it.wait_for_notification("READY=1")
        it.wait_for_notification("WATCHDOG=1")
        it.wait_for_notification("WATCHDOG=1")
        it.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        it.manager.notifications()
        time.sleep(0.5)
        assert it.manager.notifications() == []
        it.process.send_signal(signal.SIGCONT)
        it.wait_for_notification("WATCHDOG=1")
        assert it.stop() == 0


def test_passed_socket_is_that_of_the_proxy_which_names_its_users(tmp_path: Path) -> None:
    path = tmp_path / "login.sock"
    config = f'[status]\nproxy_socket = "{path}"\nuser_header = "Remote-User"\n'
    with daemon(tmp_path, config) as it, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(16)
        it.start(listening=listening)
        it.wait_for_notification("READY=1")
        with socket.socket(socket.AF_UNIX) as proxy:
            proxy.settimeout(DEADLINE_S)
            proxy.connect(str(path))
            proxy.sendall(
                b"POST /reload HTTP/1.1\r\nHost: localhost\r\nRemote-User: ann\r\nContent-Length: 0\r\n\r\n"
            )
            assert proxy.recv(65536).startswith(b"HTTP/1.1 200 ")
        it.wait_for_log("ann (via proxy)")
        assert it.stop() == 0
        assert "passed no socket" not in it.log()


def test_missing_socket_of_the_proxy_is_reported(tmp_path: Path) -> None:
    with daemon(tmp_path, f'[status]\nproxy_socket = "{tmp_path}/login.sock"\n') as it:
        it.start()
        it.wait_for_notification("READY=1")
        assert f"the service manager has passed no socket {tmp_path}/login.sock" in it.log()
        assert it.stop() == 0


def test_passed_socket_is_served_and_its_file_outlives_the_daemon(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it, socket.socket(socket.AF_UNIX) as listening:
        it.socket.parent.mkdir()
        listening.bind(str(it.socket))
        listening.listen(16)
        for _ in range(2):
            it.start(listening=listening)
            it.wait_for_notification("READY=1")
            assert it.get("/status")["state"] == "running"
            assert it.stop() == 0
            assert it.socket.exists()


def test_request_during_a_restart_is_answered_after_it(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it, socket.socket(socket.AF_UNIX) as listening:
        it.socket.parent.mkdir()
        listening.bind(str(it.socket))
        listening.listen(16)
        it.start(listening=listening)
        it.wait_for_notification("READY=1")
        assert it.stop() == 0
        with socket.socket(socket.AF_UNIX) as early:
            early.settimeout(DEADLINE_S)
            early.connect(str(it.socket))
            early.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            it.start(listening=listening)
            answer = b""
            while piece := early.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["state"] in {"starting", "running"}
        assert it.stop() == 0


def ask_over_tcp(port: int, target: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_daemon_listens_on_tcp_and_the_token_allows_changes(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = "0123456789abcdef"
    config = f'[status]\nlisten = "127.0.0.1:{port}"\nallowed_hosts = ["monitor.example.org"]\n'
    config += '[status.tokens.ops]\ntoken = { credential = "status-token" }\n'
    (tmp_path / "status-token").write_text(token + "\n")
    with daemon(tmp_path, config) as it:
        it.start(CREDENTIALS_DIRECTORY=str(tmp_path))
        it.wait_for_notification("READY=1")
        assert f"status at {it.socket}, http://127.0.0.1:{port}/" in it.log()
        assert ask_over_tcp(port, "/healthz") == (200, b"ok\n")
        assert ask_over_tcp(port, "/status", Host="evil.example.com")[0] == 421
        assert ask_over_tcp(port, "/status", Host="monitor.example.org")[0] == 200
        assert ask_over_tcp(port, "/reload", "POST")[0] == 401
        assert ask_over_tcp(port, "/reload", "POST", Authorization=f"Bearer {token}")[0] == 200
        it.config.write_text(config.replace(str(port), str(port + 1 if port < 65535 else 1024)))
        assert (
            it.client.post("/reload")["summary"]
            == "no monitors; changes to [status] will be applied at the next restart"
        )
        it.wait_for_log("changes to [status] will be applied at the next restart")
        assert it.get("/status")["state"] == "running"
        assert token not in it.log()
        assert it.stop() == 0


def test_tcp_clients_are_limited_per_address(tmp_path: Path) -> None:
    config = "[status]\nmax_connections_per_address = 3\nmax_event_streams_per_address = 1\n"
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        daemon(tmp_path, config) as it,
        contextlib.ExitStack() as clients,
    ):
        where = listening.getsockname()
        it.start(listening=listening, named="http")
        it.wait_for_notification("READY=1")
        stream = clients.enter_context(socket.create_connection(where, DEADLINE_S))
        stream.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(100).startswith(b"HTTP/1.1 200")
        assert ask_over_tcp(where[1], "/api/v1/events")[0] == 503
        idle = [clients.enter_context(socket.create_connection(where, DEADLINE_S)) for _ in range(2)]
        assert ask_over_tcp(where[1], "/healthz") == (503, b"503: too many connections from this address\n")
        assert it.get("/healthz") == "ok\n"  # over the Unix socket
        idle[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[0].recv(100).startswith(b"HTTP/1.1 200")
        assert it.stop() == 0


def test_passed_tcp_socket_replaces_listen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with daemon(tmp_path, f'[status]\nlisten = "127.0.0.1:{port}"\n') as it:
            it.start(listening=listening, named="http")
            it.wait_for_notification("READY=1")
            assert ask_over_tcp(port, "/healthz") == (200, b"ok\n")
            assert it.get("/healthz") == "ok\n"
            assert it.stop() == 0


PAGE = """
[monitors.shop]
type = "heartbeat"
every = "1h"
tags = ["public"]
[pages.customers]
title = "Example Shop"
tags = ["public"]
"""


def test_passed_socket_of_a_page_serves_only_the_page(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, daemon(tmp_path, PAGE) as it:
        port = listening.getsockname()[1]
        it.start(listening=listening, named="page-customers")
        it.wait_for_notification("READY=1")
        assert f"page customers at http://127.0.0.1:{port}" in it.log()
        status, body = ask_over_tcp(port, "/", Host="status.example.org")
        assert status == 200
        assert b"<h1>Example Shop</h1>" in body
        assert ask_over_tcp(port, "/status")[0] == 404
        with pytest.raises(HTTPStatusError):
            it.get("/pages/customers/")
        it.config.write_text(PAGE + 'socket = "/run/x.sock"')
        summary = it.client.post("/reload")["summary"]
        assert summary == (
            "1 unchanged; changes to listen and socket in [pages] will be applied at the next restart"
        )
        assert it.stop() == 0


def test_page_that_a_reload_adds_is_served_on_its_passed_socket(tmp_path: Path) -> None:
    """The service manager keeps the socket open: without the page, clients must not wait for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening, daemon(tmp_path, "") as it:
        port = listening.getsockname()[1]
        it.start(listening=listening, named="page-customers")
        it.wait_for_notification("READY=1")
        assert "a socket for the page customers, which is not configured: add [pages.customers]" in it.log()
        assert ask_over_tcp(port, "/")[0] == 404
        it.config.write_text(PAGE)
        it.client.post("/reload")
        assert ask_over_tcp(port, "/")[0] == 200
        it.config.write_text("")
        it.client.post("/reload")
        assert ask_over_tcp(port, "/")[0] == 404
        assert it.stop() == 0


def test_page_is_served_on_its_unix_socket_for_all_local_users(tmp_path: Path) -> None:
    path = tmp_path / "page.sock"
    with daemon(tmp_path, f'{PAGE}socket = "{path}"') as it:
        it.start()
        it.wait_for_notification("READY=1")
        assert path.stat().st_mode & 0o777 == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(path))
            client.sendall(b"GET /page.json HTTP/1.1\r\nHost: status.example.org\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert it.stop() == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("config", "section"), [("[status]\n", "[status]"), (PAGE, "[pages.customers]")], ids=["status", "page"]
)
def test_address_in_use_is_an_error_with_a_fix(tmp_path: Path, config: str, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with daemon(tmp_path, f'{config}listen = "127.0.0.1:{port}"\n') as it:
            it.start()
            assert it.process.wait(DEADLINE_S) == 1
            assert f"cannot listen on 127.0.0.1:{port}" in it.log()
            assert f"listen in {section}" in it.log()


def test_address_that_the_network_reaches_is_warned_about(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening, daemon(tmp_path, EMPTY) as it:
        it.start(listening=listening, named="http")
        it.wait_for_notification("READY=1")
        assert "is open to the network: all clients that reach it can read" in it.log()
        assert it.stop() == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_outage_continues_after_a_stop_and_a_kill(tmp_path: Path, end: int) -> None:
    state = tmp_path / "state"
    state.mkdir()
    config = (
        f'[history]\ndirectory = "{state}"\n'
        '[monitors.web]\nurl = "http://127.0.0.1:1/"\ncheck_every = "200ms"\nretry_every = "100ms"\n'
    )
    with daemon(tmp_path, config) as it:
        it.start()
        it.wait_for_notification("READY=1")
        it.wait_for_log("web is down")
        before = it.get("/monitors/web")
        it.client.post("/api/v1/silences", {"names": ["web"], "duration_s": 3600, "comment": "known"})
        # As long as a batch waits before it is written.
        time.sleep(1.0)
        it.stop(end)
        it.start()
        it.wait_for_notification("READY=1")
        after = it.get("/monitors/web")
        assert (after["state"], after["since"]) == ("down", before["since"])
        assert after["incident_id"] == before["incident_id"] is not None
        assert after["last_result"]["reason"] == "refused"
        assert [silence["comment"] for silence in it.get("/api/v1/silences")["silences"]] == ["known"]
        seen = it.get("/status")["checks"]["total"]
        while it.get("/status")["checks"]["total"] < seen + 3:
            time.sleep(0.05)
        assert it.log().count("web is down") == 1
        assert it.stop() == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_recovery_is_sent_after_a_stop_and_a_kill(tmp_path: Path, end: int) -> None:
    subjects = tmp_path / "told"
    config = (
        f'[history]\ndirectory = "{tmp_path}"\n'
        '[monitors.web]\nurl = "http://127.0.0.1:1/"\ncheck_every = "200ms"\nretry_every = "100ms"\n'
        '[notifiers.file]\ngroup_wait = "100ms"\n'
        f'command = ["/bin/sh", "-c", "echo $MONITORD_SUBJECT >>{subjects}"]\n'
    )

    def look(port: int) -> None:
        with daemon(tmp_path, config) as it:
            it.start()
            it.wait_for_notification("READY=1")
            it.wait_for_log("file: notification sent: DOWN: web")
            # As long as a batch waits before it is written.
            time.sleep(1.0)
            it.stop(end)
            it.config.write_text(config.replace("127.0.0.1:1/", f"127.0.0.1:{port}/"))
            it.start()
            it.wait_for_log("file: notification sent: UP: web")
            assert it.stop() == 0

    async with web_server() as port:
        await asyncio.to_thread(look, port)
    down, up = subjects.read_text().splitlines()
    assert down.endswith("] DOWN: web")
    assert "] UP: web, recovered after " in up


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_does_not_wait_for_checks(tmp_path: Path, second: int) -> None:
    async def never(_: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    application = Application()
    application.router.add_get("/", never)
    async with Server(application, host="127.0.0.1", port=0, grace_s=0.1) as server:
        config = (
            f'[monitors.slow21]\nurl = "http://127.0.0.1:{server.port}/"\ncheck_every = 60\ntimeout = 50\n'
        )

        def look() -> None:
            with daemon(tmp_path, config) as it:
                it.start()
                it.wait_for_notification("READY=1")
                until = time.monotonic() + DEADLINE_S
                while not it.get("/status")["checks"]["in_flight"] and time.monotonic() < until:
                    time.sleep(0.02)
                it.process.send_signal(signal.SIGTERM)
                it.wait_for_log("stopping: 0 checks done, 1 running")
                assert it.stop(second) == 0
                assert "stopping at once" in it.log()

        await asyncio.to_thread(look)


def test_daemon_runs_without_a_service_manager(tmp_path: Path) -> None:
    with daemon(tmp_path, EMPTY) as it:
        it.start(NOTIFY_SOCKET="", XDG_RUNTIME_DIR=str(tmp_path))
        it.wait_for_log("monitord 0.1.0 started: 0 monitors")
        assert it.get("/healthz") == "ok\n"
        assert it.stop() == 0


async def test_report_that_was_missed_is_delivered_after_the_start(tmp_path: Path) -> None:
    """Its stored state is that of a daemon that has not run for months."""
    state, reports = tmp_path / "state", tmp_path / "reports"
    state.mkdir()
    history = History(state / "history.sqlite3", HistorySettings(), SystemClock())
    history.open()
    history.start()
    history.save_daemon_state("reports", {"all": {"done_until": 0, "period_end": None, "delivered": []}})
    await history.close(DEADLINE_S)

    def look() -> None:
        keys = f'[history]\ndirectory = "{state}"\n[reports.all]\nschedule = "monthly"\ndirectory = "{reports}"\n'
        with daemon(tmp_path, keys) as it:
            it.start()
            it.wait_for_log("report all: ")
            (file,) = reports.glob("*.html")
            (shown,) = it.get("/api/v1/reports")["reports"]
            assert file.name == f"all-{shown['last_period']}.html"
            assert "Monthly report" in file.read_text()
            assert it.stop() == 0

    await asyncio.to_thread(look)
