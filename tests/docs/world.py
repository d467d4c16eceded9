"""The world that the commands of the documentation run in: a daemon, web servers for example.org, a mail server.

    async with world(folder, config) as running:
        output = await running.run("monitorctl status")

The servers of the documentation's examples answer on the loopback: shop.example.org fails with status 503, every other
host responds with a page. Nothing outside this host is contacted.
"""

import asyncio
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from monitord.cli.exit_status import EXIT_NO_DAEMON
from tests.certificates import Authority
from tests.mail_servers import MailServer, mail_server
from tests.servers import Peer, serve

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0
FAILING = "shop.example.org"
HOSTS = (FAILING, "www.example.org", "blog.example.org", "db.example.org")

# Programs of this host that the documentation's commands use.
PROGRAMS = ("bash", "curl", "grep", "head")
# Programs that would change the host, or need another host: here they do nothing. No other program is found.
REPLACED_COMMANDS = ("apt", "install", "journalctl", "make", "sync-stock", "systemctl")
# A row of `monitorctl notifiers`: mail, nothing is queued, something was sent.
DELIVERED = r"^\w+ +mail +0 +[1-9]"


@dataclass
class World:
    """A running daemon, and the folder with its configuration."""

    folder: Path
    mail: MailServer

    @property
    def socket(self) -> Path:
        return self.folder / "status.sock"

    async def run(self, command: str) -> str:
        """Return the output of a shell command, including errors."""
        _, output = await self.execute(command)
        return output

    async def execute(self, command: str) -> tuple[int, str]:
        """Return the exit status and the output of a shell command."""
        command = command.replace("/run/monitord/status.sock", str(self.socket))
        command = command.replace("/etc/monitord", str(self.folder / "monitord"))
        process = await asyncio.create_subprocess_exec(
            *("/bin/bash", "-c", command),
            cwd=self.folder,
            env={
                "PATH": f"{self.folder}/bin",
                "MONITORD_SOCKET": str(self.socket),
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
                "PYTHONPATH": str(ROOT),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        text = output.decode().replace(str(self.folder / "monitord"), "/etc/monitord")
        return process.returncode or 0, text.replace(str(self.socket), "/run/monitord/status.sock")

    async def settle(self, daemon: asyncio.subprocess.Process) -> None:
        """Check every monitor until its state is confirmed, and wait for the notifications about it."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.execute("monitorctl status"))[0] == EXIT_NO_DAEMON:
                assert daemon.returncode is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.05)
            while "pending" in (status := await self.run("monitorctl status")):
                await self.run("monitorctl check '*'")
            has_problem = re.search(r"^(down|degraded)\b", status, re.MULTILINE)
            while has_problem:
                if re.search(DELIVERED, await self.run("monitorctl notifiers"), re.MULTILINE):
                    break
                await asyncio.sleep(0.05)


@asynccontextmanager
async def world(folder: Path, config: str) -> AsyncIterator[World]:
    """Run the daemon with the documentation's configuration, which needs no change to work here."""
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(mail_server())
        authority = Authority()
        issued = authority.issue(*HOSTS, directory=folder)
        web = await stack.enter_async_context(serve(_respond, tls=issued.server_context()))
        ca_file = authority.write(folder / "ca.pem")
        running = World(folder, mail)
        _write_programs(folder / "bin")
        (folder / "monitord.toml").write_text(
            f'[status]\nsocket = "{running.socket}"\n'
            f'[history]\ndirectory = "{folder}"\n'
            + (
                f'[defaults]\nca_file = "{ca_file}"\nconnect_to = "127.0.0.1:{web.port}"\n'
                if "\nurl" in config
                else ""
            )
        )
        (folder / "monitord.d").mkdir()
        (folder / "monitord.d" / "page.toml").write_text(_to_this_mail_server(config, mail.port))
        with (folder / "log").open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "monitord", "--config", str(folder / "monitord.toml")),
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "TZ": "UTC"},
                stdout=log,
                stderr=log,
            )
        try:
            await running.settle(daemon)
            yield running
        finally:
            if daemon.returncode is None:
                daemon.terminate()
            await daemon.wait()


async def _respond(peer: Peer) -> None:
    request = await peer.request()
    if request.headers["host"] == FAILING:
        status, kind, body = (
            "503 Service Unavailable",
            "application/json",
            '{"status": "database unavailable"}',
        )
    else:
        status, kind, body = "200 OK", "text/html", "<title>Example Domain</title>\n"
    await peer.send(
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )


def _to_this_mail_server(config: str, port: int) -> str:
    """Give every notifier for mail the address of the server here, and let it send at once."""
    here = f'server = "127.0.0.1:{port}"\nsecurity = "none"\nfrom = "monitord@{socket.gethostname()}"\ngroup_wait = 0\n'
    return re.sub(r"^(?=to = )", here, config, flags=re.MULTILINE)


def _write_programs(folder: Path) -> None:
    """Fill the only folder in which the commands look for programs."""
    folder.mkdir()
    for name in PROGRAMS:
        if program := shutil.which(name):
            (folder / name).symlink_to(program)
    scripts = dict.fromkeys(REPLACED_COMMANDS, "exit 0")
    # check-config reads the configuration of the service unless it is given another; here, that of this folder.
    scripts["monitorctl"] = (
        f'[ "$*" != check-config ] || set -- check-config {folder.parent}/monitord.toml\n'
        f'exec {sys.executable} -m monitord.cli "$@"'
    )
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
