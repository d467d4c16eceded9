"""The conformance cases of the peers: number and names of the unmet requirements.

If nginx fails a case, check the case first; nginx with its echo module is the reference.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from servers import PEERS, ROOT, SYSTEM_PYTHON, free_port, need, peers_python, running

sys.path.insert(0, str(ROOT / "tests"))

from web_conformance.harness import Address, Finding, play_all
from web_conformance.origin import write_file
from web_conformance.rules import Level
from web_conformance.table import CASES

DEADLINE = "60s"
SERVERS = ("monitord.web", "nginx", "aiohttp.web", "uvicorn h11", "uvicorn httptools", "sanic")


def _command(server: str, port: int, file: Path) -> list[str]:
    if server == "nginx":
        conf = (PEERS / "origin.nginx.conf").read_text()
        for name, value in (("PORT", str(port)), ("FOLDER", str(file.parent)), ("DEADLINE", DEADLINE)):
            conf = conf.replace(f"@{name}@", value)
        written = file.parent / "nginx.conf"
        written.write_text(conf)
        return [need("nginx", "nginx-light libnginx-mod-http-echo"), "-c", str(written)]
    kind, _, parser = server.partition(" ")
    script = {
        "monitord.web": "origin_monitord",
        "aiohttp.web": "origin_aiohttp",
        "uvicorn": "origin_starlette",
        "sanic": "origin_sanic",
    }[kind]
    python = SYSTEM_PYTHON if kind == "monitord.web" else peers_python()
    return [python, str(PEERS / f"{script}.py"), str(port), str(file), *([parser] if parser else [])]


def _play(server: str) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = write_file(Path(folder))
        port = free_port()
        stack.enter_context(running(_command(server, port, file), port, path="/plain"))
        return asyncio.run(play_all(CASES, Address(port=port)))


def main(options: argparse.Namespace) -> str:
    failed: dict[str, set[str]] = {}
    for server in options.servers:
        failed[server] = {finding.case.id for finding in _play(server) if finding.complaint is not None}
    played = [case for case in CASES if not case.is_hasty]
    lines = ["| server | MUST not met | SHOULD not met |", "|---|---|---|"]
    of_level = {level: {case.id for case in played if case.level is level} for level in Level}
    for server, names in failed.items():
        cells = " | ".join(f"{len(names & of_level[level])} of {len(of_level[level])}" for level in Level)
        lines.append(f"| {server} | {cells} |")
    lines += [
        "",
        "Cases without those of timeouts. The MUST that each server does not meet, by the section:",
        "",
    ]
    for server, names in failed.items():
        by_section: dict[str, list[str]] = {}
        for case in played:
            if case.id in names & of_level[Level.MUST]:
                by_section.setdefault(case.section, []).append(case.id)
        sections = "; ".join(f"{section}: {', '.join(ids)}" for section, ids in by_section.items())
        lines.append(f"- **{server}**: {sections or 'none'}.")
    return "\n".join([*lines, ""])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=SERVERS)
