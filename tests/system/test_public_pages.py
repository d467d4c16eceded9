"""A public page as the guide sets it up: its own socket behind nginx, posts by a member of the group, the export."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.bed import Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed

EXAMPLES = "/usr/share/doc/monitord/examples"
UNITS = "/etc/systemd/system"
SOCKET = "monitord-page@customers.socket"
TIMER = "monitord-export-page@customers.timer"
EXPORTER = "monitord-export-page@customers.service"
EXPORTED = "/var/lib/monitord-page-customers"
NGINX = ("nginx", "nginx-common")
MEMBER = "kim"

PAGE = """
[pages.customers]
title = "Example Shop"
monitors = ["*"]
"""
TITLED = WATCHING + 'title = "Online shop"\n'
DOWN = FAILING + 'title = "Orders"\n'

OFTEN = """\
[Timer]
OnCalendar=
OnCalendar=*:*:0/2
"""


@pytest.fixture(scope="module")
def page_proxy(installed_machine: Machine) -> Iterator[None]:
    """The socket of the page, and nginx with its example. Both are removed afterwards."""
    machine = installed_machine
    Installed(machine).reset()
    machine.run("apt-get", "--yes", "install", *NGINX, within_s=300)
    machine.shell(
        f"cp {EXAMPLES}/nginx-page.conf /etc/nginx/conf.d/; nginx -t;"
        f"cp {EXAMPLES}/monitord-page@.socket {UNITS}/; systemctl daemon-reload;"
        "systemctl stop monitord.socket monitord.service;"
        f"systemctl enable --now {SOCKET}; systemctl start monitord.service; systemctl restart nginx"
    )
    yield
    machine.run("apt-get", "--yes", "--auto-remove", "purge", *NGINX, within_s=300)
    machine.shell(
        f"systemctl disable --now {SOCKET}; rm {UNITS}/monitord-page@.socket; systemctl daemon-reload;"
        "systemctl restart monitord; rm -rf /etc/nginx"
    )


@pytest.fixture
def page(monitord: Installed) -> Installed:
    """The daemon with the page."""
    monitord.configure(TITLED + DOWN + PAGE)
    monitord.systemctl("reload", "monitord")
    return monitord


@pytest.fixture
def member(monitord: Installed) -> Iterator[str]:
    """A member of the group monitord."""
    monitord.machine.shell(
        f"id {MEMBER} >/dev/null 2>&1 || useradd --create-home {MEMBER}; usermod --append --groups monitord {MEMBER}"
    )
    yield MEMBER
    monitord.machine.shell(f"userdel --remove {MEMBER} 2>&1")


@pytest.fixture
def exporter(page: Installed) -> Iterator[Installed]:
    """The daemon with the page and the units of the export, which are not started."""
    page.machine.shell(
        f"cp {EXAMPLES}/monitord-export-page@.* {UNITS}/; rm -rf {EXPORTED}; systemctl daemon-reload"
    )
    yield page
    page.machine.shell(
        f"systemctl stop {TIMER} {EXPORTER}; systemctl reset-failed {EXPORTER} 2>/dev/null || true;"
        f"rm -rf {UNITS}/monitord-export-page@* {EXPORTED}; systemctl daemon-reload"
    )


def ask(machine: Machine, path: str) -> tuple[str, str]:
    """Return the HTTP status and the body of a response through the proxy."""
    done = machine.run(
        *("curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\\n%{http_code}"),
        *("--resolve", "status.example.org:80:127.0.0.1", f"http://status.example.org{path}"),
    )
    body, _, status = done.stdout.rpartition("\n")
    return status, body


def document(machine: Machine) -> Any:
    status, body = ask(machine, "/page.json")
    assert status == "200", body
    return json.loads(body)


def states(machine: Machine) -> dict[str, str]:
    return {
        service["title"]: service["state"]
        for group in document(machine)["groups"]
        for service in group["services"]
    }


@pytest.mark.usefixtures("page_proxy")
def test_socket_of_the_page_serves_the_page_and_nothing_else(page: Installed) -> None:
    machine = page.machine
    eventually(lambda: states(machine) == {"Online shop": "operational", "Orders": "outage"})
    status, html = ask(machine, "/")
    assert (status, "Example Shop" in html, "127.0.0.1" in html) == ("200", True, False)
    assert ask(machine, "/feed.atom")[0] == "200"
    for path in ("/api/v1/monitors", "/metrics", "/m/web", "/pages/customers/"):
        assert ask(machine, path)[0] == "404", path


@pytest.mark.usefixtures("page_proxy")
def test_post_of_a_member_is_published_and_outlives_a_restart(page: Installed, member: str) -> None:
    machine = page.machine
    text = "Some payments fail."
    machine.run("monitorctl", "post", "customers", "--title", "Orders are delayed", text, user=member)
    (post,) = page.get("/api/v1/posts?page=customers")["posts"]
    author = post["updates"][0]["author"]
    assert author.startswith(f"{member} (")
    assert text in eventually(lambda: ask(machine, "/")[1] if document(machine)["posts"] else "")

    page.systemctl("restart", "monitord")
    resolved = ("--update", post["id"], "--status", "resolved", "Payments work again.")
    machine.run("monitorctl", "post", "customers", *resolved, user=member)
    eventually(lambda: document(machine)["posts"][0]["status"] == "resolved")
    (published,) = document(machine)["posts"]
    assert published["title"] == "Orders are delayed"
    assert [update["text"] for update in published["updates"]] == ["Payments work again.", text]
    # Authors are recorded, but not published.
    for path in ("/", "/page.json", "/feed.atom"):
        assert member not in ask(machine, path)[1], path


def test_timer_exports_the_page_from_its_sandbox(exporter: Installed) -> None:
    machine = exporter.machine
    since = machine.now_in_journal()
    # The timer of the example runs every minute.
    machine.write(f"{UNITS}/{TIMER}.d/often.conf", OFTEN)
    machine.shell(f"systemctl daemon-reload; systemctl enable --now {TIMER}")

    def read(file: str) -> str:
        """A file of the page, as the user of a web server reads it; empty before the first export."""
        return machine.run("cat", f"{EXPORTED}/{file}", user="www-data", ok=False).stdout

    # The HTML file is written last.
    eventually(
        lambda: "Online shop" in read("index.html") and json.loads(read("page.json"))["state"] != "no_data"
    )
    assert machine.shell(f"stat --format=%U {EXPORTED}/index.html").strip() == "monitord"
    # Only the page was written, and nothing was logged except by the service manager.
    assert machine.show(EXPORTER, "Result") == "success"
    assert machine.journal(f"_SYSTEMD_UNIT={EXPORTER}", since=since) == []
    machine.shell(f"systemctl disable {TIMER}")


def test_failed_export_names_the_page_and_keeps_the_files(exporter: Installed) -> None:
    machine = exporter.machine
    machine.run("systemctl", "start", EXPORTER)
    before = machine.shell(f"sha256sum {EXPORTED}/index.html")
    exporter.configure(TITLED + PAGE.replace("customers", "guests"))
    exporter.systemctl("reload", "monitord")
    since = machine.now_in_journal()
    assert machine.run("systemctl", "start", EXPORTER, ok=False).returncode != 0
    messages = [entry["MESSAGE"] for entry in machine.journal(f"_SYSTEMD_UNIT={EXPORTER}", since=since)]
    assert [message for message in messages if "customers" in message], messages
    assert machine.shell(f"sha256sum {EXPORTED}/index.html") == before
