"""The receiver of notifications on a machine: see files/sink.py."""

import json
from typing import Any

from tests.system.bed import FILES, Machine, eventually

FOLDER = "/tmp/sink"


class Sink:
    """The receiver of notifications, which a test starts."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self) -> None:
        self._machine.write("/usr/local/lib/sink.py", (FILES / "sink.py").read_text())
        self._machine.run("systemd-run", "--unit=sink", "python3", "/usr/local/lib/sink.py", FOLDER)
        eventually(lambda: self._machine.run("test", "-d", FOLDER, ok=False).returncode == 0)

    def stop(self) -> None:
        self._machine.run("systemctl", "stop", "sink.service", ok=False)
        self._machine.run("rm", "--recursive", "--force", FOLDER)

    def forget(self) -> None:
        """Remove what was received."""
        self._machine.shell(f"rm -f {FOLDER}/*")

    def received(self, kind: str) -> list[str]:
        names = self._machine.shell(f"ls {FOLDER} | grep '^{kind}-' || true").split()
        return [self._machine.run("cat", f"{FOLDER}/{name}").stdout for name in names]

    def notifications(self) -> list[dict[str, Any]]:
        return [
            notification
            for body in self.received("request")
            for notification in json.loads(body)["notifications"]
        ]
