"""The run of `monitorctl import`: files in, TOML out, with a summary on standard error.

The result is validated by another process, as the daemon would. A rejected section is written as comments, with the
reason, so that the daemon accepts every file that this command writes.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from monitord import __version__
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL
from monitord.cli.importing.draft import Draft, Untranslated, render, summary
from monitord.cli.importing.formats import FORMATS, ImportFormat, detect
from monitord.cli.importing.source import SourceError, read_sources
from monitord.config import without_secrets
from monitord.errors import ControlError
from monitord.text import counted, first_of, joined, plain, shortened

CHECK_TIMEOUT_S = 120.0
MAX_CHECKS = 10
"""A rejected section is disabled, which can make a section that refers to it invalid: one check for each level."""

MAX_LISTED = 200
MAX_NAMES = 5
"""Limits for the summary; the file has everything."""

_BUG_HINT = "this is a bug in monitorctl; report it to the maintainers"

OUTPUT_MODE = 0o640
"""The permissions of the file, as in /etc/monitord.d: it contains the secrets of the source."""


def run_import(options: argparse.Namespace) -> int:
    """Return the exit status. Raises SourceError, and ControlError if the result cannot be checked."""
    words: list[str] = options.words
    chosen = FORMATS.get(words[0]) if words else None
    paths = words if chosen is None else words[1:]
    if not paths:
        parser: argparse.ArgumentParser = options.parser
        parser.error("a file is needed; write: import FORMAT FILE")
    if (
        chosen is None
        and len(words) > 1
        and re.fullmatch(r"[\w-]+", words[0])
        and not Path(words[0]).exists()
    ):
        raise SourceError(
            f"{words[0]!r} is neither a format nor a file", hint=f"the formats are {joined(list(FORMATS))}"
        )
    output = None if options.output is None else Path(options.output)
    if output is not None and not options.force and os.path.lexists(output):
        raise SourceError(f"{plain(str(output))}: already exists", hint="write --force to replace it")
    sources = read_sources(paths)
    importer = detect(sources) if chosen is None else chosen
    draft = Draft()
    importer.translate(sources, draft)
    heading = [
        f"Imported from {importer.title} by monitorctl {__version__}: "
        + ", ".join(source.path.name for source in sources),
        "Check it with monitorctl check-config. Sections that begin with # are not active; the reason precedes them.",
    ]
    with tempfile.TemporaryDirectory(prefix="monitorctl-import-") as folder:
        text = disable_rejected_sections(draft, heading, lambda text: _errors_of(text, Path(folder)))
    if not draft.of_kind("monitors", active=False) and not draft.of_kind("notifiers", active=False):
        if not draft.untranslated():
            names = ", ".join(source.name for source in sources)
            raise SourceError(f"{names}: no monitors or notifiers of {importer.title} were found")
        _print_summary(draft, importer)
        print("monitorctl: there is nothing to import", file=sys.stderr)
        return EXIT_FAILED
    if output is None:
        # UTF-8 as TOML requires, regardless of the encoding of the terminal.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    else:
        _write(output, text, replace=options.force)
    _print_summary(draft, importer)
    if output is not None:
        print(
            f"Written to {plain(str(output))}, with the secrets of the source: only its owner and group can read it.",
            file=sys.stderr,
        )
    return EXIT_PARTIAL if draft.untranslated() else EXIT_OK


def disable_rejected_sections(
    draft: Draft, heading: Sequence[str], errors_of: Callable[[str], list[Any]]
) -> str:
    """Disable the sections that the daemon would reject, with its reason, and return the text of the file.

    Raises SourceError if the text is rejected nevertheless.
    """
    for _ in range(MAX_CHECKS):
        text = render(draft, heading)
        errors = errors_of(text)
        if not errors:
            return text
        sections = {(section.kind, section.name): section for section in draft.sections}
        for error in errors:
            section = sections.get(tuple(error["path"][:2]))
            if section is None:
                raise SourceError(f"the result is rejected: {_reason(error)}", hint=_BUG_HINT)
            section.disable(_reason(error))
    raise SourceError("the result is rejected repeatedly", hint=_BUG_HINT)


def _reason(error: Any) -> str:
    key = ".".join(error["path"][2:]) or ".".join(error["path"])
    hint = f"; {error['hint']}" if error["hint"] else ""
    return f"{key}: {error['problem']}{hint}"


def _errors_of(text: str, folder: Path) -> list[Any]:
    """Return the errors of the file, as found by another process, which imports the daemon's code."""
    file = folder / "imported.toml"
    file.write_text(text, encoding="utf-8")
    python = [sys.executable, *(["-I"] if sys.flags.isolated else [])]
    try:
        done = subprocess.run(  # noqa: S603 - this program itself
            [*python, "-m", "monitord.cli.importing.check", str(file)],
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ControlError(f"the result cannot be checked: {error}") from None
    if done.returncode:
        raise ControlError(f"the result cannot be checked: {shortened(plain(done.stderr[-500:]), 500)}")
    errors: list[Any] = json.loads(done.stdout)
    return errors


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Create the file with its final mode. An existing file is replaced atomically."""
    target = path.with_name(f".{path.name}.{os.getpid()}") if replace else path
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OUTPUT_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            if replace:
                target.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink()
            raise
    except FileExistsError:
        raise SourceError(f"{plain(str(path))}: already exists", hint="write --force to replace it") from None
    except OSError as error:
        raise SourceError(f"{plain(str(path))}: cannot be written: {error.strerror or error}") from None


def _print_summary(draft: Draft, importer: ImportFormat) -> None:
    for line in summary_lines(draft, importer.title):
        print(line, file=sys.stderr)


def summary_lines(draft: Draft, title: str) -> Iterator[str]:
    """Yield the number of sections, and each item that was not translated, with the reason."""
    untranslated: list[Untranslated] = draft.untranslated()
    if not untranslated:
        yield f"{title}: {summary(draft)}; everything was translated"
        return
    yield f"{title}: {summary(draft)}; {counted(len(untranslated), 'item')} not translated:"
    items_by_reason: dict[str, list[str]] = {}
    for item in untranslated:
        items_by_reason.setdefault(item.reason, []).append(item.where)
    for reason, names in list(items_by_reason.items())[:MAX_LISTED]:
        yield plain(without_secrets(f"  {first_of(names, MAX_NAMES)}: {reason}"))
    if len(items_by_reason) > MAX_LISTED:
        yield f"  and {len(items_by_reason) - MAX_LISTED} more; the file has all of them"
