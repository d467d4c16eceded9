"""Processes: monitord as systemd would run it, the monitored servers, and the peers.

Each has its own folder and ports on the loopback, and is terminated by its id. Programs of Debian are extracted from
their packages without installing them, so that no service is started.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import wait_until
from monitord.cli.client.connection import Client

ROOT = Path(__file__).resolve().parents[1]
UNPACKED = ROOT / ".cache" / "bench"
VERSION_FILE = "version"
PYTHON = "/usr/bin/python3"

Command = Sequence[str | Path]

START_DEADLINE_S = 60.0
END_DEADLINE_S = 20.0
MAX_NOTIFICATION_BYTES = 1 << 16
POLL_S = 0.2

# The socket of journald has a fixed path: the daemon gets its own /run, in which the path leads to the sink.
_WITH_JOURNAL = """
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
ln -s "$1" /run/systemd/journal/socket
shift
exec "$@"
"""


@contextmanager
def running(
    command: Command,
    folder: Path,
    name: str,
    environment: dict[str, str] | None = None,
    directory: Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, with standard error in a file. Raises RuntimeError if it has ended before the block does."""
    errors = folder / f"{name}.stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield process
    except Exception as error:
        error.add_note(f"{name}: {errors.read_text(errors='replace')[-2000:]}")
        raise
    else:
        if process.poll() is not None:
            output = errors.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name} has ended with status {process.returncode}: {output}")
    finally:
        process.terminate()
        try:
            process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Notification:
    """A text for the service manager, and its time (monotonic clock)."""

    text: str
    at: float


class Manager:
    """The notification socket of a service manager (sd_notify(3)), read by `wait_for`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def wait_for(self, line: str, process: subprocess.Popen[bytes], within_s: float) -> Notification:
        """Return the next notification with this line. Raises RuntimeError if the process has ended."""
        deadline = time.monotonic() + within_s
        self._socket.settimeout(POLL_S)
        while process.poll() is None:
            try:
                notification = Notification(
                    self._socket.recv(MAX_NOTIFICATION_BYTES).decode(), time.monotonic()
                )
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                continue
            if line in notification.text.splitlines():
                return notification
        raise RuntimeError(f"the daemon ended with status {process.returncode} before {line}")

    def drain(self) -> list[str]:
        """Return the lines of all notifications that have arrived."""
        lines = []
        self._socket.setblocking(False)
        try:
            while True:
                lines += self._socket.recv(MAX_NOTIFICATION_BYTES).decode().splitlines()
        except BlockingIOError:
            return lines

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


class Daemon:
    """A monitord that is ready. `start_s`: from fork to READY=1."""

    def __init__(
        self, process: subprocess.Popen[bytes], manager: Manager, socket_path: Path, start_s: float
    ) -> None:
        self.process = process
        self.pid = process.pid
        self.manager = manager
        self.ask = Client(socket_path)
        self.start_s = start_s

    @property
    def checks(self) -> int:
        return int(self.ask.get("/status")["checks"]["total"])


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that starts monitord in a folder, any number of times with the same state."""

    command: Command
    environment: dict[str, str]
    manager: Manager
    socket_path: Path
    errors: Path
    source: Path


@contextmanager
def launch(folder: Path, config: str, *, journal: Path, source: Path = ROOT) -> Iterator[Launch]:
    """Prepare starts of monitord from the directory `source` with `config`, without [status].

    The log goes to the socket `journal`, as to that of journald, if standard error is written to `errors`.
    """
    folder.mkdir()
    path = folder / "monitord.toml"
    socket_path = folder / "status.sock"
    path.write_text(config + f'\n[status]\nsocket = "{socket_path}"\n')
    # JOURNAL_STREAM names this file; the daemon compares it with its standard error.
    stream = (folder / "monitord.stderr").absolute()
    stream.touch()
    status = stream.stat()
    manager = Manager(folder / "notify")
    state = folder / "state"
    state.mkdir()
    environment = {
        # As StateDirectory= of the unit: the history is enabled.
        "STATE_DIRECTORY": str(state),
        # As in the unit.
        "MALLOC_ARENA_MAX": "1",
        "NOTIFY_SOCKET": str(manager.path),
        "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
        "PYTHONPATH": str(source),
        # A package contains its bytecode; compiling would be most of the start.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    unshare: Command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [
        *unshare,
        "sh",
        "-euc",
        _WITH_JOURNAL,
        "sh",
        journal,
        PYTHON,
        "-m",
        "monitord",
        "--config",
        path,
    ]
    try:
        yield Launch(command, environment, manager, socket_path, stream, source)
    finally:
        manager.close()


@contextmanager
def daemon(folder: Path, config: str, *, journal: Path, source: Path = ROOT) -> Iterator[Daemon]:
    """Run monitord with `config`: see `launch`."""
    with launch(folder, config, journal=journal, source=source) as prepared:
        began = time.monotonic()
        with running(prepared.command, folder, "monitord", prepared.environment, prepared.source) as process:
            ready = prepared.manager.wait_for("READY=1", process, START_DEADLINE_S)
            yield Daemon(process, prepared.manager, prepared.socket_path, ready.at - began)


@contextmanager
def journal_sink(folder: Path) -> Iterator[Path]:
    """Run a process that reads the datagrams at the path, as journald does."""
    path = folder / "journal.sock"
    process = subprocess.Popen(
        [PYTHON, Path(__file__).with_name("journal_sink.py"), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if process.stdout is None or process.stdout.readline() != b"listening\n":
            raise RuntimeError("the substitute for journald does not start")
        yield path
    finally:
        process.communicate(timeout=END_DEADLINE_S)
        path.unlink()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(command: Command, folder: Path, name: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, and wait until it listens on the port."""
    with running(command, folder, name) as process:
        wait_until(lambda: is_open(port) or process.poll() is not None, START_DEADLINE_S, f"{name} listens")
        yield process


def program(name: str, package: str) -> Path:
    """The path of a program of Debian: installed, or extracted from its package."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is not None:
        return Path(found)
    unpacked = UNPACKED / package
    if not unpacked.exists():
        print(f"bench: {package} (apt-get download) into {unpacked.relative_to(ROOT)}", file=sys.stderr)
        incoming = UNPACKED / f"{package}.incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        subprocess.run(
            ["apt-get", "-qq", "download", package], cwd=incoming, check=True, stderr=subprocess.DEVNULL
        )
        (archive,) = incoming.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, incoming / "files"], check=True)
        version = subprocess.run(
            ["dpkg-deb", "-f", archive, "Version"], check=True, capture_output=True
        ).stdout
        (binary,) = (incoming / "files").glob(f"usr/*bin/{name}")
        unpacked.mkdir()
        (unpacked / VERSION_FILE).write_bytes(version)
        binary.rename(unpacked / name)
        shutil.rmtree(incoming)
    return unpacked / name


def version_of(package: str) -> str:
    """The version of the package that is installed or has been extracted."""
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    ).stdout
    version_file = UNPACKED / package / VERSION_FILE
    return installed or (version_file.read_text().strip() if version_file.exists() else "unknown")
