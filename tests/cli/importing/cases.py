"""The sources in `sources/`, and the files in `expected/` that they become: python3 -m tests.cli.importing.cases.

The sources have the layout, the options and the mistakes of public configurations; names and addresses are replaced.
"""

import contextlib
import io
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from monitord import __version__
from monitord.cli.control_command import main

FOLDER = Path(__file__).parent
SOURCES, EXPECTED = FOLDER / "sources", FOLDER / "expected"


@dataclass(frozen=True, slots=True)
class ImportCase:
    """`files`: names in `sources/`; a .sql file becomes a database."""

    name: str
    format_name: str
    files: tuple[str, ...]

    def arguments(self, folder: Path) -> list[str]:
        """The paths of the files, after a database has been created in the folder."""
        return [
            str(database(folder, name) if name.endswith(".sql") else SOURCES / name) for name in self.files
        ]


CASES = [
    ImportCase("gatus", "gatus", ("gatus.yaml",)),
    ImportCase("blackbox", "blackbox", ("prometheus.yml", "targets.json", "blackbox.yml")),
    ImportCase("monit", "monit", ("monitrc",)),
    ImportCase("uptimerobot", "uptimerobot", ("uptimerobot.csv",)),
    ImportCase("uptimerobot-bulk", "uptimerobot", ("uptimerobot-bulk.csv",)),
    ImportCase("uptime-kuma-backup", "uptime-kuma", ("uptime-kuma.json",)),
    ImportCase("uptime-kuma-1", "uptime-kuma", ("kuma-1.sql",)),
    ImportCase("uptime-kuma-2", "uptime-kuma", ("kuma-2.sql",)),
]


def database(folder: Path, name: str) -> Path:
    path = folder / name.replace(".sql", ".db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SOURCES / name).read_text())
    return path


def without_version(text: str) -> str:
    return text.replace(f"monitorctl {__version__}", "monitorctl VERSION")


def renew() -> None:
    for case in CASES:
        output = io.TextIOWrapper(io.BytesIO(), "utf-8")
        errors = io.StringIO()
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            main(["import", case.format_name, *case.arguments(Path(folder))])
        output.seek(0)
        (EXPECTED / f"{case.name}.toml").write_text(without_version(output.read()))
        (EXPECTED / f"{case.name}.txt").write_text(errors.getvalue())


if __name__ == "__main__":
    renew()
