"""nginx as the monitored server: plain and TLS, on one address or many. Its log shows the time of each request.

The path of a request is /CLIENT/NUMBER, so that one log distinguishes the checks of each side.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Command, free_port, program, serving
from tests.certificates import Authority

BODY_BYTES = 648  # as http://example.com has

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
    log_format requests '$msec $uri $status $connection_requests $ssl_session_reused';
    access_log {folder}/access.log requests buffer=64k flush=1s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type text/plain;
    server {{
        {listens}
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_session_tickets off;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One line of the log. `at`: wall time in seconds, with milliseconds. `is_fresh`: on a new connection."""

    at: float
    client: str
    number: int
    status: int
    is_fresh: bool


class Nginx:
    """A running nginx. `authority`: the file with the CA of its certificate."""

    def __init__(self, folder: Path, port: int, tls_port: int, authority: Path, pid: int) -> None:
        self._folder = folder
        self.port = port
        self._tls_port = tls_port
        self.authority = authority
        self.pid = pid

    def url(self, kind: str) -> str:
        """The URL with a slash at the end. `kind`: "plain" or "TLS"."""
        if kind == "TLS":
            return f"https://127.0.0.1:{self._tls_port}/"
        return f"http://127.0.0.1:{self.port}/"

    def requests(self, client: str, began: float, ended: float) -> list[LoggedRequest]:
        """The requests of one side between two wall times. Those of the last second may be missing."""
        prefix = f"/{client}/"
        found = []
        with (self._folder / "access.log").open() as lines:
            for line in lines:
                moment, uri, status, used, reused = line.split()
                if uri.startswith(prefix) and began <= float(moment) < ended:
                    is_fresh = used == "1" and reused in {".", "-"}
                    number = int(uri.removeprefix(prefix))
                    found.append(LoggedRequest(float(moment), client, number, int(status), is_fresh))
        return found


@contextmanager
def nginx(folder: Path, addresses: Sequence[str] = ("127.0.0.1",)) -> Iterator[Nginx]:
    folder.mkdir()
    port, tls_port = free_port(), free_port()
    authority = Authority("Bench Root")
    issued = authority.issue("127.0.0.1", directory=folder)
    trusted = authority.write(folder / "root.pem")
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            listens="\n        ".join(f"listen {address}:{port} backlog=4096;" for address in addresses),
            tls_port=tls_port,
            certificate=issued.chain_file,
            key=issued.key_file,
            body="x" * BODY_BYTES,
        )
    )
    command: Command = [
        program("nginx", "nginx"),
        "-e",
        folder / "nginx.log",
        "-p",
        folder,
        "-c",
        config,
    ]
    with serving(command, folder, "nginx", port) as process:
        yield Nginx(folder, port, tls_port, trusted, process.pid)
