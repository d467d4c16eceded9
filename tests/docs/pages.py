"""Fenced blocks of the documentation's pages, and the comparison of shown with real output.

A comment in the line before a block defines its kind:

    <!-- daemon -->        the configuration of the daemon that the page's commands talk to
    <!-- notification -->  the first mail that this daemon sends
    <!-- source -->        the file config.yaml, which a command imports

`make manual` writes the real output into the pages.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from tests.mail_servers import text_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "pages.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>\w+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
PROMPTS = ("$ ", "# ")
HOST = "web1"
"""The name of this host in the documentation."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, its language, its mark, and its text with the last newline."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """A command as it is written, with its prompt, and the output that is shown for it."""

    line: str
    output: str

    @property
    def command(self) -> str:
        return "\n".join(line.removeprefix(self.line[:2]) for line in self.line.splitlines())


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Block(page, line, match["language"], match["mark"] or "", match["text"])


def with_texts(page: str, texts: Sequence[str]) -> str:
    """Return a page with other texts in its blocks."""
    parts: list[str] = []
    end = 0
    for match, text in zip(BLOCK.finditer(page), texts, strict=True):
        parts += [page[end : match.start("text")], text]
        end = match.end("text")
    return "".join([*parts, page[end:]])


def steps(text: str) -> Iterator[Step]:
    """The commands of a console block, each with the lines up to the next prompt."""
    command: list[str] = []
    output: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(PROMPTS) or (command and command[-1].endswith("\\\n")):
            if command and not command[-1].endswith("\\\n"):
                yield Step("".join(command).rstrip("\n"), "".join(output))
                command, output = [], []
            command.append(line)
        else:
            output.append(line)
    if command:
        yield Step("".join(command).rstrip("\n"), "".join(output))


def daemon_config(page: Path) -> str | None:
    """The configuration of the page's daemon."""
    return next((block.text for block in blocks(page) if block.mark == "daemon"), None)


def write_source(page: Path, folder: Path) -> None:
    """Write the file that commands of the page import."""
    for block in blocks(page):
        if block.mark == "source":
            (folder / "config.yaml").write_text(block.text)


def mail_text(mail: EmailMessage) -> str:
    return f"Subject: {mail['Subject']}\n\n{text_of(mail)}"


def presentable(output: str) -> str:
    """With the name that this host has in the documentation, and without spaces at the ends of lines."""
    named = re.sub(rf"\b{re.escape(socket.gethostname())}\b", HOST, output)
    return "\n".join(line.rstrip() for line in named.splitlines()).strip("\n") + "\n" if named.strip() else ""


# Values that differ from run to run, and the width of their columns.
VARIABLE = [
    (r"(?m)^(?:Next check in .*|A check is running\.|Its check is queued for a slot\.)$", "NEXT CHECK"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?", "TIME"),
    (r"\b\d\d:\d\d(?::\d\d)?\b", "TIME"),
    (r"\b(?:now|\d+[smhd] ago)\b", "AGO"),
    (r"\b(?:\d+(?:\.\d+)? ?(?:ms|s|m|h|d|us|µs)\b ?)+", "DURATION "),
    (
        r"\b(?:[a-z_][\w-]* \(uid \d+\)|(?:[\w-]+ \(claimed by )?a member of the daemon's group\)?), pid \d+",
        "USER",
    ),
    (r"\b(?:[0-9a-f]{8}|[0-9a-f]{16})\b", "ID"),
    (r"[▁▂▃▄▅▆▇█]+", "BAR"),
]


def normalised(text: str) -> list[str]:
    """Lines without times, durations, process numbers, identifiers and the width of columns."""
    for pattern, name in VARIABLE:
        text = re.sub(pattern, name, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
