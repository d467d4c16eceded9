"""Changes through a proxy with a login, set up as the guide describes it (docs/guide/publishing.md)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.bed import Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed

EXAMPLES = "/usr/share/doc/monitord/examples"
CONFIG = "/etc/nginx/conf.d/nginx-monitord.conf"
SOCKET = "monitord-login.socket"
PACKAGES = ("nginx", "nginx-common")
PASSWORD = "s3cret"

LOGIN = f"""\
sed --expression='s,monitord-read.sock,monitord-login.sock,' \\
    --expression='/limit_except GET {{/,/}}/d' \\
    --expression='s,^    listen 80;,&\\n    auth_basic "monitord";,' \\
    --expression='s,^    listen 80;,&\\n    auth_basic_user_file /etc/nginx/monitord.htpasswd;,' \\
    --expression='s,^    proxy_set_header Host .*,&\\n    proxy_set_header X-Remote-User $remote_user;,' \\
    {EXAMPLES}/nginx-monitord.conf >{CONFIG}
echo "ann:$(openssl passwd -apr1 {PASSWORD})" >/etc/nginx/monitord.htpasswd
nginx -t
"""

STATUS = """
[status]
allowed_hosts = "status.example.org"
listen = "127.0.0.1:9120"
proxy_socket = "/run/monitord-login.sock"
user_header = "X-Remote-User"
"""

FORGED = ("--header", "X-Remote-User: mallory")


@pytest.fixture(scope="module")
def login_proxy(installed_machine: Machine) -> Iterator[None]:
    """The proxy nginx, and the socket on which monitord trusts it. It is purged afterwards."""
    machine = installed_machine
    Installed(machine).reset()
    machine.run("apt-get", "--yes", "install", *PACKAGES, within_s=300)
    machine.shell(LOGIN)
    machine.shell(
        f"cp {EXAMPLES}/{SOCKET} /etc/systemd/system/; systemctl daemon-reload;"
        f"systemctl stop monitord.socket monitord.service; systemctl start {SOCKET};"
        "systemctl start monitord.service; systemctl restart nginx"
    )
    yield
    machine.run("apt-get", "--yes", "--auto-remove", "purge", *PACKAGES, within_s=300)
    machine.shell(
        f"systemctl stop {SOCKET}; rm /etc/systemd/system/{SOCKET}; systemctl daemon-reload;"
        "systemctl restart monitord; rm -rf /etc/nginx"
    )


@pytest.fixture
def site(monitord: Installed, login_proxy: None) -> Installed:
    """The daemon behind the proxy, with a monitor that is down."""
    monitord.configure(WATCHING + FAILING + STATUS)
    monitord.systemctl("restart", "monitord")
    eventually(lambda: incidents(monitord))
    return monitord


def through_proxy(machine: Machine, path: str, *options: str, user: str = "") -> str:
    """Return the HTTP status of a request to the proxy. `user`: with the login of this user."""
    login = ("--user", f"{user}:{PASSWORD}") if user else ()
    return status_of(
        machine,
        *("--resolve", "status.example.org:80:127.0.0.1", *login, *options),
        f"http://status.example.org{path}",
    )


def status_of(machine: Machine, *arguments: str) -> str:
    done = machine.run(
        *("curl", "--silent", "--show-error", "--max-time", "60", "--output", "/dev/null"),
        *("--write-out", "%{http_code}", *arguments),
    )
    return done.stdout


def incidents(monitord: Installed) -> list[dict[str, Any]]:
    """The stored incidents of the monitor that is down."""
    found: list[dict[str, Any]] = monitord.get("/api/v1/monitors/broken/incidents")["incidents"]
    return found


def acknowledged_by(monitord: Installed) -> Any:
    (incident,) = incidents(monitord)
    return incident["acknowledged_by"]


ACKNOWLEDGE = "/api/v1/monitors/broken/acknowledge"
POST = ("--request", "POST")


def test_change_is_recorded_under_the_name_of_the_login(site: Installed) -> None:
    machine = site.machine
    since = machine.now_in_journal()
    assert through_proxy(machine, "/") == "401"
    assert through_proxy(machine, ACKNOWLEDGE, *POST) == "401"
    assert through_proxy(machine, ACKNOWLEDGE, *POST, "--user", "ann:wrong") == "401"
    assert through_proxy(machine, "/", user="ann") == "200"
    assert acknowledged_by(site) is None
    # The proxy replaces the field of the client.
    assert through_proxy(machine, ACKNOWLEDGE, *POST, *FORGED, user="ann") == "200"
    assert acknowledged_by(site) == "ann (via proxy)"
    messages = [entry["MESSAGE"] for entry in machine.journal("--unit=monitord", since=since)]
    assert "broken: incident acknowledged by ann (via proxy)" in messages
    shown = machine.run("monitorctl", "incidents", "broken").stdout
    assert "ann (via proxy)" in shown
    assert "mallory" not in str(messages) + shown


def test_user_header_is_ignored_on_all_other_sockets(site: Installed) -> None:
    machine = site.machine
    url = f"http://127.0.0.1:9120{ACKNOWLEDGE}"
    assert status_of(machine, *POST, *FORGED, url) == "403"
    assert acknowledged_by(site) is None
    # Root may change everything on the main socket, but under its own name.
    assert site.ask(ACKNOWLEDGE, *POST, *FORGED).stdout.endswith("\n200")
    assert acknowledged_by(site).startswith("root (uid 0), pid ")


def test_only_the_user_of_the_proxy_opens_its_socket(site: Installed) -> None:
    machine = site.machine
    machine.shell("id lou >/dev/null 2>&1 || useradd --create-home lou")
    asking = ("curl", "--silent", "--unix-socket", "/run/monitord-login.sock", *FORGED, *POST)
    refused = machine.run(*asking, f"http://localhost{ACKNOWLEDGE}", user="lou", ok=False)
    assert refused.returncode != 0
    assert acknowledged_by(site) is None
    machine.shell("userdel --remove lou 2>&1")
