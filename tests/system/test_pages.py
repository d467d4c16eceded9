"""The pages through each reverse proxy, by the snippet that the package brings along."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.system.bed import Completed, Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed

EXAMPLES = "/usr/share/doc/monitord/examples"
SITE = "http://status.example.org"
# Of curl, for what is asked: as somebody on the network would, with all that a browser unpacks.
ASKING = ("curl", "--silent", "--show-error", "--compressed", "--resolve", "status.example.org:80:127.0.0.1")
EVENTS_WITHIN_S = 120
CERTIFICATE_BY_ACME = "s,^status.example.org,http://&,"


@dataclass(frozen=True)
class Server:
    """How a server is set up as its snippet says, and how its own refusal of changes is taken out again."""

    name: str
    packages: str
    user: str
    set_up: str
    without_refusal: str


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
    # The snippet as it is wants a certificate from the network.
    f"caddy validate --adapter caddyfile --config {EXAMPLES}/Caddyfile;"
    "caddy validate --config /etc/caddy/Caddyfile; systemctl restart caddy",
    "sed -i '/@changes/d' /etc/caddy/Caddyfile; systemctl reload caddy",
)


@pytest.fixture(scope="module", params=[NGINX, APACHE, CADDY], ids=lambda server: server.name)
def installed_proxy(request: pytest.FixtureRequest, installed_machine: Machine) -> Iterator[Server]:
    """One server at a time, as each wants port 80; gone again afterwards."""
    server: Server = request.param
    packages = server.packages.split()
    installed_machine.run("apt-get", "--yes", "install", *packages, within_s=300)
    installed_machine.run("usermod", "--append", "--groups", "monitord", server.user)
    yield server
    installed_machine.run("apt-get", "--yes", "--auto-remove", "purge", *packages, within_s=300)
    installed_machine.shell(
        f"gpasswd --delete {server.user} monitord 2>&1 || true; rm -rf /etc/{server.name}"
    )


@pytest.fixture
def proxy(installed_proxy: Server, monitord: Installed) -> Server:
    """Set up as the snippet says, whatever the last test has changed in it."""
    monitord.machine.shell(installed_proxy.set_up)
    # The servers pass Host on, as the snippets say.
    monitord.machine.write("/etc/monitord.d/hosts.toml", '[status]\nhosts = "status.example.org"\n')
    monitord.systemctl("restart", "monitord")
    eventually(lambda: ask(monitord.machine, "/healthz").returncode == 0)
    return installed_proxy


def ask(machine: Machine, path: str, *options: str) -> Completed:
    """The HTTP status is the last line of the output."""
    return machine.run(
        *ASKING, "--max-time", "30", "--write-out", "\\n%{http_code}", *options, f"{SITE}{path}", ok=False
    )


def page(machine: Machine, path: str) -> str:
    body, _, status = ask(machine, path, "--header", "Accept: text/html").stdout.rpartition("\n")
    assert status == "200", f"{path}: {status}\n{body}"
    return body


@contextmanager
def events(machine: Machine) -> Iterator[Iterator[str]]:
    """The lines of the stream as they come; it does not end by itself, so what is held back never comes."""
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
    # curl is a child of what is killed here; it ends when it finds nobody at the pipe.
    with asking.stdout as lines:
        try:
            yield lines
        finally:
            asking.kill()
            asking.wait()


def test_the_pages_are_published(monitord: Installed, proxy: Server) -> None:
    machine = monitord.machine
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    eventually(lambda: "1 of 2 monitors is down" in page(machine, "/"))
    assert "condition_failed" in page(machine, "/incidents")
    assert "SQLite" in page(machine, "/daemon")
    assert 'aria-label="web: up"' in page(machine, "/badge/web.svg")
    assert "prefers-color-scheme" in page(machine, "/static/style.css")
    # What was, is told by the history on the disk: its monitor is gone, and so is the daemon that saw it.
    monitord.configure(WATCHING)
    monitord.systemctl("restart", "monitord")
    eventually(lambda: "monitor is up" in page(machine, "/"))
    assert "condition_failed" in page(machine, "/incidents")
    assert "What the last check said" in page(machine, "/m/web")


def test_nobody_is_refused_while_the_daemon_restarts(monitord: Installed, proxy: Server) -> None:
    """A connection that the server has kept to the daemon of before is not taken for a failure."""
    for _ in range(3):
        page(monitord.machine, "/")
        monitord.systemctl("restart", "monitord")
        page(monitord.machine, "/")


def test_an_event_comes_at_once(monitord: Installed, proxy: Server) -> None:
    """Nothing but the one of the reload is sent, far too little to fill a buffer."""
    with events(monitord.machine) as lines:
        assert next(lines).startswith("retry: ")
        monitord.systemctl("reload", "monitord")
        assert "event: reload\n" in lines


def test_nothing_is_changed(monitord: Installed, proxy: Server) -> None:
    machine = monitord.machine
    for path in ("/api/v1/reload", "/api/v1/monitors/web/pause"):
        assert ask(machine, path, "--request", "POST").stdout.rpartition("\n")[2] == "403"
    # Not by the server alone: monitord does not take its client for a member of its group.
    machine.shell(proxy.without_refusal)
    eventually(
        lambda: "accepted on the Unix socket only" in ask(machine, "/reload", "--request", "POST").stdout,
        within_s=60,
    )
    # Nor can the client have the field taken out that says for whom the server asks (as in CVE-2022-31813).
    stripped = ask(
        machine, "/reload", "--request", "POST", "--header", "Connection: close, X-Forwarded-For, Via"
    )
    assert stripped.stdout.rpartition("\n")[2] == "403"
