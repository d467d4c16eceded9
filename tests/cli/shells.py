"""bash, zsh and fish with the completions loaded, and their candidates for a command line."""

import os
import pty
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent.parent
COMPLETIONS = ROOT / "completions"

DEADLINE_S = 60.0

BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


class Shells:
    """`folder`: a directory for the commands. `socket`: that of the daemon."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        for name, module in (("monitorctl", "monitord.cli"), ("monitord", "monitord")):
            command = folder / name
            command.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m {module} "$@"\n')
            command.chmod(0o755)
        self._environ = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
            "MONITORD_SOCKET": str(socket),
        }

    def bash(self, line: str) -> list[str]:
        """The candidates."""
        command = line.split(maxsplit=1)[0]
        script = f"""
            source {BASH_COMPLETION}
            source {COMPLETIONS}/bash/{command}
            COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_TYPE=9 COMP_KEY=9
            COMP_WORDS=({" ".join(map(shlex.quote, _words(line)))})
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            compopt() {{ :; }}
            _{command} {command} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        return self._said(["bash", "--norc", "-c", script]).split()

    def fish(self, line: str) -> dict[str, str]:
        """The candidates, each with its description."""
        command = line.split(maxsplit=1)[0]
        script = f"source {COMPLETIONS}/fish/{command}.fish; complete --do-complete {shlex.quote(line)}"
        lines = self._said(["fish", "--no-config", "--command", script]).splitlines()
        return dict((line + "\t").split("\t")[:2] for line in lines)

    def zsh(self, line: str) -> str:
        """The command line after Tab."""
        shown = self.folder / "buffer"
        shown.unlink(missing_ok=True)
        setup = [
            f"fpath=({COMPLETIONS}/zsh $fpath)",
            "autoload -Uz compinit && compinit -u -D",
            f'tell() {{ print -r -- "$BUFFER" > {shown}.new; mv {shown}.new {shown} }}',
            "zle -N tell",
            "bindkey '^X' tell",
            f"print -r -- ready > {shown}",
        ]
        # The terminal takes a line when the shell is ready for it, so Tab comes after the set-up.
        with _Terminal(["zsh", "-f", "-i"], self._environ, self.folder) as terminal:
            terminal.write("\n".join(setup) + "\n")
            _wait_for(shown)
            shown.unlink()
            terminal.write(f"{line}\t\x18")
            _wait_for(shown)
        return shown.read_text().removesuffix("\n")

    def _said(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            env=self._environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout


def _words(line: str) -> list[str]:
    """Split a line as bash does for a completion: a blank at the end begins a word, and a colon is a word."""
    return [*line.replace(":", " : ").split(), *([""] if line.endswith(" ") else [])]


def _wait_for(file: Path) -> None:
    until = time.monotonic() + DEADLINE_S
    while not file.exists():
        assert time.monotonic() < until, f"no {file}"
        time.sleep(0.02)


class _Terminal:
    """A shell on a terminal, whose output is discarded."""

    def __init__(self, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def write(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
