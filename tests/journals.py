"""Real journal files, written by systemd-journal-remote as journald writes them."""

import asyncio
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REMOTE = Path("/usr/lib/systemd/systemd-journal-remote")
MACHINE_ID = Path("/etc/machine-id")
WITHIN_S = 20.0

Fields = Mapping[str, str | bytes]


def why_no_journals() -> str | None:
    if not REMOTE.exists():
        return "systemd-journal-remote is not installed"
    if not MACHINE_ID.exists() or not MACHINE_ID.read_text().strip():
        return "this root has no machine ID, which journal files need"
    return None


async def until(question: Callable[[], bool]) -> None:
    """Wait until another process has made it true."""
    async with asyncio.timeout(WITHIN_S):
        while not question():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@dataclass
class JournalDirectory:
    """A directory of journal files. Entries have the current time, unless a test gives another."""

    path: Path
    boot: str = field(default_factory=lambda: uuid.uuid4().hex)
    written: int = 0

    @property
    def file(self) -> Path:
        return self.path / "system.journal"

    def write(self, *entries: Fields | str, at_s: float | None = None, count: int = 1) -> None:
        """Append entries, `count` times; a text is the message of an entry."""
        given = [entry if isinstance(entry, Mapping) else {"MESSAGE": entry} for entry in entries]
        self._append(b"".join(self._export(entry, at_s) for _ in range(count) for entry in given))

    def _append(self, exported: bytes) -> None:
        subprocess.run(
            [REMOTE, f"--output={self.file}", "-"], input=exported, check=True, capture_output=True
        )

    def _export(self, entry: Fields, at_s: float | None) -> bytes:
        self.written += 1
        at_us = round((time.time() if at_s is None else at_s) * 1e6) + self.written
        fields: dict[str, str | bytes] = {
            "__REALTIME_TIMESTAMP": str(at_us),
            "__MONOTONIC_TIMESTAMP": str(1_000_000 + self.written),
            "_BOOT_ID": self.boot,
            "_MACHINE_ID": "0" * 31 + "7",
            "PRIORITY": "6",
            "_SYSTEMD_UNIT": "shop.service",
            **entry,
        }
        return b"".join(_field(name, value) for name, value in fields.items()) + b"\n"

    def rotate(self) -> None:
        """Rename the file as journald does; the next entry begins a new file."""
        numbers = f"{uuid.uuid4().hex}-{self.written:016x}-{self.written:016x}"
        self.file.rename(self.path / f"system@{numbers}.journal")

    def vacuum(self) -> None:
        """Remove all files but the active one."""
        for archived in self.path.glob("system@*.journal"):
            archived.unlink()

    def reboot(self) -> None:
        self.boot = uuid.uuid4().hex


def _field(name: str, value: str | bytes) -> bytes:
    """Journal Export Format: a value that is not one line of text is preceded by its length."""
    data = value.encode() if isinstance(value, str) else value
    if isinstance(value, str) and "\n" not in value:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
