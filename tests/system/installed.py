"""The installed service as an administrator uses it: files, systemctl, curl, monitorctl, journalctl."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.system.bed import FILES, WITHIN_S, Completed, Machine, eventually

SOCKET = "/run/monitord/status.sock"
FRAGMENT = "/etc/monitord.d/test.toml"
WITHOUT_HOST = "/etc/monitord.d/auto.toml"
"""Excludes the monitors of the host and of failed units, which the installed configuration creates."""

# Short, so that a test sees several checks soon; long enough that a check does not time out on a busy machine.
WATCHING = """\
[monitors.web]
url = "http://127.0.0.1:8080/ok"
check_every = "1s"
timeout = "1s"
"""

FAILING = """\
[monitors.broken]
url = "http://127.0.0.1:8080/fail"
check_every = "1s"
timeout = "1s"
fail_after = 1
"""

BLOCKING = """\
[monitors.careless]
type = "blocking"
check_every = "500ms"
timeout = "400ms"
"""


@dataclass
class Clients:
    """The counts of all requests, after the end."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)


@contextmanager
def constant_requests(machine: Machine) -> Iterator[Clients]:
    """Send requests to the status socket, one after the other on new connections, while the block runs."""
    machine.write("/usr/local/lib/web/clients.py", (FILES / "clients.py").read_text())
    asking = subprocess.Popen(
        [*machine.entrance, "python3", "/usr/local/lib/web/clients.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    clients = Clients()
    try:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "ready\n"
        yield clients
        counted = json.loads(asking.communicate(timeout=WITHIN_S)[0])
        clients.answered, clients.failed = counted["answered"], counted["failed"]
    finally:
        asking.kill()
        asking.communicate()


class Installed:
    """The service on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def reset(self) -> None:
        """Start the service without drop-ins and stored state, with the web server as its only monitor."""
        self.machine.shell(
            "rm -rf /etc/monitord.d/* /etc/systemd/system/monitord.service.d /run/systemd/system/monitord.service.d"
            " && systemctl daemon-reload && systemctl stop monitord.service && rm -rf /var/lib/monitord/*"
            " && systemctl reset-failed monitord.service monitord.socket 2>/dev/null || true"
        )
        self.machine.write(WITHOUT_HOST, '[auto]\nignore = ["host:*", "unit:*"]\n')
        self.configure(WATCHING)
        self.machine.run("systemctl", "start", "monitord.socket", "monitord.service")

    def configure(self, text: str) -> None:
        """Replace the configuration file of the tests."""
        self.machine.write(FRAGMENT, text)

    def systemctl(self, *words: str, ok: bool = True) -> Completed:
        return self.machine.run("systemctl", *words, ok=ok)

    @property
    def pid(self) -> int:
        return int(self.machine.show("monitord.service", "MainPID"))

    @property
    def state(self) -> str:
        return self.machine.show("monitord.service", "ActiveState")

    @property
    def restarts(self) -> int:
        return int(self.machine.show("monitord.service", "NRestarts"))

    def ask(self, path: str, *options: str, user: str = "", ok: bool = True) -> Completed:
        """Run curl on the status socket. The HTTP status is the last line of the output."""
        return self.machine.run(
            *("curl", "--silent", "--show-error", "--max-time", "60", "--unix-socket", SOCKET),
            *("--write-out", "\\n%{http_code}", *options, f"http://localhost{path}"),
            user=user,
            ok=ok,
        )

    def get(self, path: str) -> Any:
        """Return the JSON of a resource that must exist."""
        body, _, status = self.ask(path).stdout.rpartition("\n")
        assert status == "200", f"{path}: {status}\n{body}"
        return json.loads(body)

    def checks_of(self, name: str, since: int) -> list[dict[str, Any]]:
        """Return the journal entries of the checks of a monitor, without its changes of state."""
        entries = self.machine.journal("--unit=monitord", f"MONITOR={name}", since=since)
        return [entry for entry in entries if is_check_line(entry)]

    def clients(self) -> AbstractContextManager[Clients]:
        """See constant_requests."""
        return constant_requests(self.machine)

    def await_successor(self, before: int) -> None:
        """Wait until the manager has replaced a process."""
        eventually(lambda: self.pid not in {0, before} and self.state == "active", within_s=120)

    def await_check(self, name: str) -> dict[str, Any]:
        """Return the journal entry of the next check of a monitor."""
        since = self.machine.now_in_journal()
        return eventually(lambda: self.checks_of(name, since))[0]


def is_check_line(entry: Mapping[str, Any]) -> bool:
    """Return whether a journal entry is that of a check, which has no catalog entry."""
    return "MONITOR_VERDICT" in entry and "MESSAGE_ID" not in entry
