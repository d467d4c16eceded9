"""Real database servers of Debian in temporary directories.

A test that needs a server is skipped where its package is not installed. The servers listen on a free port of the
loopback interface, and report that they are ready as services of systemd do (sd_notify(3)).
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port

START_TIMEOUT_S = 60
PASSWORD = "tulip-tulip"


@dataclass(frozen=True)
class Database:
    port: int
    directory: Path
    command: tuple[str, ...] = ()


@contextmanager
def running(command: list[str], directory: Path, *, user: str | None = None) -> Iterator[None]:
    """Run a server until the end of the context. It is ready when it has sent READY=1."""
    log = directory / "log"
    (directory / "notify").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, log.open("wb") as written:
        notified.bind(str(directory / "notify"))
        (directory / "notify").chmod(0o666)
        server = subprocess.Popen(
            command,
            user=user,
            stdout=written,
            stderr=written,
            cwd=directory,
            env={**os.environ, "NOTIFY_SOCKET": str(directory / "notify")},
        )
        ended = os.pidfd_open(server.pid)
        try:
            while True:
                readable, _, _ = select.select([notified.fileno(), ended], [], [], START_TIMEOUT_S)
                if notified.fileno() not in readable:
                    pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')}")
                if b"READY=1" in notified.recv(4096).split(b"\n"):
                    break
            yield
        finally:
            os.close(ended)
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            server.wait(START_TIMEOUT_S)


@contextmanager
def directory_of(user: str | None) -> Iterator[Path]:
    """A temporary directory of the user: those of pytest are closed to others than the user who runs the tests."""
    with tempfile.TemporaryDirectory(prefix="monitord-database-") as name:
        if user is not None:
            shutil.chown(name, user)
        yield Path(name)


def user_of_server(name: str) -> str | None:
    """Return the user of the package if the tests run as root, as whom the server does not run; None: the same user."""
    return name if os.geteuid() == 0 else None


def copy_files(files: Mapping[str, Path], directory: Path, user: str | None) -> None:
    """Copy files under new names; only the user of the server can read them."""
    for name, file in files.items():
        copy = directory / name
        shutil.copy(file, copy)
        copy.chmod(0o600)
        if user is not None:
            shutil.chown(copy, user)


@contextmanager
def postgresql(
    *options: str,
    hba: str = "",
    setup: str = "",
    files: Mapping[str, Path] | None = None,
    source: Database | None = None,
) -> Iterator[Database]:
    """A server whose superuser `postgres` has PASSWORD. `hba` are lines before those of the connections with passwords.

    `setup` are SQL commands, each on its line, that run before the start. `files` are copied to the directory of the
    data. A server with a `source` is its replica.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("postgresql is not installed")
    programs, user, port = found[-1].parent, user_of_server("postgres"), free_port()

    def run(*command: str, text: str = "") -> None:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            user=user,
            input=text,
            cwd=directory,
            env={"LC_ALL": "C.UTF-8", "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{command[0]} failed: {done.stderr}")

    with directory_of(user) as directory:
        data = directory / "data"
        if source is None:
            run("initdb", "--no-sync", "--auth=trust", "--username=postgres", f"--pgdata={data}")
            commands = f"ALTER ROLE postgres PASSWORD '{PASSWORD}';\n{setup}\n"
            run("postgres", "--single", "-D", str(data), "postgres", text=commands)
            rules = "local all all scram-sha-256\nhost all,replication all 127.0.0.0/8 scram-sha-256\n"
            (data / "pg_hba.conf").write_text(f"{hba}\n{rules}")
        else:
            address = ["--host=127.0.0.1", f"--port={source.port}", "--username=postgres"]
            run(
                "pg_basebackup",
                "--no-sync",
                "--checkpoint=fast",
                "--write-recovery-conf",
                "-D",
                str(data),
                *address,
            )
        copy_files(files or {}, data, user)
        command = [
            *(str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(directory)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", *options),
        ]
        with running(command, directory, user=user):
            yield Database(port, directory, tuple(command))


@contextmanager
def restarted(database: Database) -> Iterator[None]:
    """Start a server of `postgresql` again that `stop` has stopped."""
    with running(list(database.command), database.directory, user=user_of_server("postgres")):
        yield


def stop(database: Database) -> None:
    """Stop a server of `postgresql` at once, as if its host failed, and wait for its end."""
    pid = int((database.directory / "data" / "postmaster.pid").read_text().split()[0])
    ended = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGQUIT)
        select.select([ended], [], [], START_TIMEOUT_S)
    finally:
        os.close(ended)


@contextmanager
def mysql(*options: str, setup: str = "", files: Mapping[str, Path] | None = None) -> Iterator[Database]:
    """A MariaDB server whose user `root` has PASSWORD. `setup` are SQL commands, each on its line.

    `files` are copied to the working directory of the server.
    """
    program, install = shutil.which("mariadbd", path="/usr/sbin:/usr/bin"), shutil.which("mariadb-install-db")
    if program is None or install is None:
        pytest.skip("mariadb-server is not installed")
    user, port = user_of_server("mysql"), free_port()
    with directory_of(user) as directory:
        data = directory / "data"
        method = "--auth-root-authentication-method=normal"
        done = subprocess.run(
            [install, "--no-defaults", f"--datadir={data}", method, "--skip-test-db"],
            user=user,
            cwd=directory,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": str(directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{install} failed: {done.stdout}{done.stderr}")
        copy_files(files or {}, data, user)
        commands = [
            f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';",
            f"CREATE OR REPLACE USER root@127.0.0.1 IDENTIFIED BY '{PASSWORD}';",
            "GRANT ALL ON *.* TO root@127.0.0.1;",
            setup,
        ]
        (directory / "setup.sql").write_text("\n".join(commands))
        command = [
            *(
                program,
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={directory}/socket",
                f"--tmpdir={directory}",
                f"--port={port}",
            ),
            *(
                "--bind-address=127.0.0.1",
                f"--port={port}",
                f"--init-file={directory}/setup.sql",
                "--skip-name-resolve",
            ),
            *("--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0", *options),
        ]
        with running(command, directory, user=user):
            yield Database(port, directory)


@contextmanager
def redis(directory: Path, *options: str) -> Iterator[Database]:
    """A server that requires PASSWORD."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = [
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        *("--dir", str(directory), "--unixsocket", str(directory / "socket"), "--supervised", "systemd"),
        *("--requirepass", PASSWORD, *options),
    ]
    with running(command, directory):
        yield Database(port, directory)
