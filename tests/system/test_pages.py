"""The status pages through each reverse proxy, with the configuration snippet of the package."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.system.bed import Completed, Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed

EXAMPLES = "/usr/share/doc/monitord/examples"
UNITS = "/etc/systemd/system"
SOCKET = "monitord-read.socket"

SITE = "http://status.example.org"
# Like a browser on the network, with its content codings.
ASKING = ("curl", "--silent", "--show-error", "--compressed", "--resolve", "status.example.org:80:127.0.0.1")
EVENTS_WITHIN_S = 120
CERTIFICATE_BY_ACME = "s,^status.example.org,http://&,"


@dataclass(frozen=True)
class Server:
    """The commands that set up a server by its snippet, and that remove its own rejection of changes."""

    name: str
    packages: str
    user: str
    set_up: str
    without_rejection: str


NGINX = Server(
    "nginx",
    "nginx nginx-common",
    "www-data",
    f"cp {EXAMPLES}/nginx-monitord.conf /etc/nginx/conf.d/; nginx -t; systemctl restart nginx",
    "sed -i '/limit_except GET/,/}/d' /etc/nginx/conf.d/nginx-monitord.conf; systemctl reload nginx",
)
APACHE = Server(
    "apache2",
    "apache2",
    "www-data",
    f"cp {EXAMPLES}/apache-monitord.conf /etc/apache2/sites-available/; a2enmod --quiet proxy proxy_http;"
    "a2ensite --quiet apache-monitord; apachectl configtest; systemctl restart apache2",
    "sed -i '/^ *<LimitExcept/,/<.LimitExcept>/d' /etc/apache2/sites-available/apache-monitord.conf;"
    "systemctl reload apache2",
)
CADDY = Server(
    "caddy",
    "caddy",
    "caddy",
    f"sed '{CERTIFICATE_BY_ACME}' {EXAMPLES}/Caddyfile >/etc/caddy/Caddyfile;"
    # The unchanged snippet requests a certificate from the network.
    f"caddy validate --adapter caddyfile --config {EXAMPLES}/Caddyfile;"
    "caddy validate --config /etc/caddy/Caddyfile; systemctl restart caddy",
    "sed -i '/@changes {/,/}/d; /@changes/d' /etc/caddy/Caddyfile; systemctl reload caddy",
)


def without_start_limit(server: Server) -> str:
    """Return a command after which the server can be restarted, although each test restarts it (StartLimitBurst=)."""
    return f"systemctl reset-failed {server.name}.service 2>/dev/null || true"


@pytest.fixture(scope="module", params=[NGINX, APACHE, CADDY], ids=lambda server: server.name)
def installed_proxy(request: pytest.FixtureRequest, installed_machine: Machine) -> Iterator[Server]:
    """One server at a time, as each needs port 80. It is purged afterwards."""
    server: Server = request.param
    packages = server.packages.split()
    # Tests before these may have left a configuration that is rejected.
    Installed(installed_machine).reset()
    installed_machine.run("apt-get", "--yes", "install", *packages, within_s=300)
    installed_machine.shell(
        f"cp {EXAMPLES}/{SOCKET} {UNITS}/; systemctl daemon-reload; systemctl stop monitord.socket monitord.service;"
        f"systemctl start {SOCKET}; systemctl start monitord.service"
    )
    yield server
    installed_machine.run("apt-get", "--yes", "--auto-remove", "purge", *packages, within_s=300)
    installed_machine.shell(
        f"systemctl stop {SOCKET}; rm {UNITS}/{SOCKET}; systemctl daemon-reload; systemctl restart monitord;"
        f"gpasswd --delete {server.user} monitord 2>&1 || true; rm -rf /etc/{server.name}"
    )


@pytest.fixture
def proxy(installed_proxy: Server, monitord: Installed) -> Server:
    """A server with the unchanged snippet."""
    monitord.machine.shell(f"{without_start_limit(installed_proxy)}; {installed_proxy.set_up}")
    # The snippets pass Host on.
    monitord.machine.write("/etc/monitord.d/hosts.toml", '[status]\nallowed_hosts = "status.example.org"\n')
    monitord.systemctl("restart", "monitord")
    eventually(lambda: ask(monitord.machine, "/healthz").returncode == 0)
    return installed_proxy


def ask(machine: Machine, path: str, *options: str) -> Completed:
    """Send a request. The HTTP status is the last line of the output."""
    return machine.run(
        *ASKING, "--max-time", "30", "--write-out", "\\n%{http_code}", *options, f"{SITE}{path}", ok=False
    )


def page(machine: Machine, path: str) -> str:
    body, _, status = ask(machine, path, "--header", "Accept: text/html").stdout.rpartition("\n")
    assert status == "200", f"{path}: {status}\n{body}"
    return body


@contextmanager
def events(machine: Machine) -> Iterator[Iterator[str]]:
    """Yield the lines of the event stream, which never ends: a buffered line would never arrive."""
    asking = subprocess.Popen(
        [
            *machine.entrance,
            *ASKING,
            *("--no-buffer", "--max-time", str(EVENTS_WITHIN_S)),
            f"{SITE}/api/v1/events",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout is not None
    # curl is a child of the killed process; it ends when it writes to the closed pipe.
    with asking.stdout as lines:
        try:
            yield lines
        finally:
            asking.kill()
            asking.wait()


def test_pages_are_published(monitord: Installed, proxy: Server) -> None:
    machine = monitord.machine
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    eventually(lambda: "1 of 2 monitors is down" in page(machine, "/"))
    assert "condition_failed" in page(machine, "/incidents")
    assert "SQLite" in page(machine, "/daemon")
    assert 'aria-label="web: up"' in page(machine, "/badge/web.svg")
    assert "prefers-color-scheme" in page(machine, "/static/style.css")
    # The history shows the incident, although its monitor has been removed and the daemon restarted.
    monitord.configure(WATCHING)
    monitord.systemctl("restart", "monitord")
    eventually(lambda: "monitor is up" in page(machine, "/"))
    assert "condition_failed" in page(machine, "/incidents")
    assert "Last result" in page(machine, "/m/web")


def test_no_request_fails_while_the_daemon_restarts(monitord: Installed, proxy: Server) -> None:
    """A connection that the server has kept to the previous process is not a failure."""
    for _ in range(3):
        page(monitord.machine, "/")
        monitord.systemctl("restart", "monitord")
        page(monitord.machine, "/")


def test_event_arrives_at_once(monitord: Installed, proxy: Server) -> None:
    """Only the event of the reload is sent, which does not fill a buffer."""
    with events(monitord.machine) as lines:
        assert next(lines).startswith("retry: ")
        monitord.systemctl("reload", "monitord")
        assert "event: reload\n" in lines


def test_changes_are_rejected(monitord: Installed, proxy: Server) -> None:
    machine = monitord.machine
    for path in ("/api/v1/reload", "/api/v1/monitors/web/pause"):
        assert ask(machine, path, "--request", "POST").stdout.rpartition("\n")[2] == "403"
    # Not only by the server: its user has no write access. If that user is in the group of monitord, monitord does not
    # treat its clients as members.
    machine.shell(proxy.without_rejection)
    _check_that_changes_are_rejected(machine)
    machine.shell(
        f"usermod --append --groups monitord {proxy.user};"
        f"{without_start_limit(proxy)}; systemctl restart {proxy.name}"
    )
    _check_that_changes_are_rejected(machine)
    # Nor can the client have the field removed that names it (as in CVE-2022-31813).
    stripped = ask(
        machine, "/reload", "--request", "POST", "--header", "Connection: close, X-Forwarded-For, Via"
    )
    assert stripped.stdout.rpartition("\n")[2] == "403"


def _check_that_changes_are_rejected(machine: Machine) -> None:
    eventually(
        lambda: "permitted on the Unix socket only" in ask(machine, "/reload", "--request", "POST").stdout,
        within_s=60,
    )
