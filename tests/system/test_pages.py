"""The pages through nginx, by the snippet that the package brings along."""

from collections.abc import Iterator

import pytest

from tests.system.bed import Completed, Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed

SNIPPET = "/usr/share/doc/monitord/examples/nginx-monitord.conf"
SITE = "http://status.example.org"


@pytest.fixture
def nginx(monitord: Installed) -> Iterator[Machine]:
    """Set up as the snippet says; gone again afterwards."""
    machine = monitord.machine
    machine.run("apt-get", "--yes", "install", "nginx", within_s=300)
    machine.shell(
        f"usermod --append --groups monitord www-data; cp {SNIPPET} /etc/nginx/conf.d/;"
        "nginx -t; systemctl restart nginx"
    )
    yield machine
    machine.run("apt-get", "--yes", "purge", "nginx", "nginx-common", within_s=300)
    machine.shell("gpasswd --delete www-data monitord; rm -rf /etc/nginx")


def ask(machine: Machine, path: str, *options: str) -> Completed:
    """As somebody on the network would; the HTTP status is the last line of the output."""
    return machine.run(
        *(
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--resolve",
            "status.example.org:80:127.0.0.1",
        ),
        *("--write-out", "\\n%{http_code}", *options, f"{SITE}{path}"),
        ok=False,
    )


def page(machine: Machine, path: str) -> str:
    body, _, status = ask(machine, path, "--header", "Accept: text/html").stdout.rpartition("\n")
    assert status == "200", f"{path}: {status}\n{body}"
    return body


def test_nginx_publishes_the_pages(monitord: Installed, nginx: Machine) -> None:
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    eventually(lambda: "1 of 2 monitors is down" in page(nginx, "/"))
    assert "condition_failed" in page(nginx, "/incidents")
    assert "SQLite" in page(nginx, "/daemon")
    assert 'aria-label="web: up"' in page(nginx, "/badge/web.svg")
    assert "prefers-color-scheme" in page(nginx, "/static/style.css")
    # What was, is told by the history on the disk: its monitor is gone, and so is the daemon that saw it.
    monitord.configure(WATCHING)
    monitord.systemctl("restart", "monitord")
    eventually(lambda: "monitor is up" in page(nginx, "/"))
    assert "condition_failed" in page(nginx, "/incidents")
    assert "What the last check said" in page(nginx, "/m/web")


def test_events_come_through_nginx_at_once(monitord: Installed, nginx: Machine) -> None:
    said = ask(nginx, "/api/v1/events?results=1", "--no-buffer", "--max-time", "3").stdout
    assert said.count("event: result") >= 2


@pytest.mark.usefixtures("monitord")
def test_nothing_is_changed_through_nginx(nginx: Machine) -> None:
    for path in ("/api/v1/reload", "/api/v1/monitors/web/pause"):
        assert ask(nginx, path, "--request", "POST").stdout.rpartition("\n")[2] == "403"
    # Not by nginx alone: monitord does not take its client for a member of its group.
    nginx.shell(
        "sed -i '/limit_except GET/,/}/d' /etc/nginx/conf.d/nginx-monitord.conf; systemctl reload nginx"
    )
    eventually(
        lambda: "accepted on the Unix socket only" in ask(nginx, "/reload", "--request", "POST").stdout
    )
