"""The formats of `monitorctl import`, and their detection. The module of a format is imported when it is used."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.cli.importing.draft import Draft
from monitord.cli.importing.source import ImportSource, SourceError, yaml_of


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """A format. `translate` adds the content of files to a draft; it raises SourceError, which names
    the file, for other files."""

    name: str
    title: str
    translate: Callable[[Sequence[ImportSource], Draft], None]


def _gatus(sources: Sequence[ImportSource], draft: Draft) -> None:
    from monitord.cli.importing import gatus  # noqa: PLC0415 - only if it is used

    gatus.translate(sources, draft)


def _blackbox(sources: Sequence[ImportSource], draft: Draft) -> None:
    from monitord.cli.importing import blackbox  # noqa: PLC0415 - only if it is used

    blackbox.translate(sources, draft)


def _uptime_kuma(sources: Sequence[ImportSource], draft: Draft) -> None:
    from monitord.cli.importing import uptime_kuma  # noqa: PLC0415 - only if it is used

    uptime_kuma.translate(sources, draft)


def _monit(sources: Sequence[ImportSource], draft: Draft) -> None:
    from monitord.cli.importing import monit  # noqa: PLC0415 - only if it is used

    monit.translate(sources, draft)


def _uptime_robot(sources: Sequence[ImportSource], draft: Draft) -> None:
    from monitord.cli.importing import uptime_robot  # noqa: PLC0415 - only if it is used

    uptime_robot.translate(sources, draft)


FORMATS = {
    "uptime-kuma": ImportFormat("uptime-kuma", "Uptime Kuma", _uptime_kuma),
    "gatus": ImportFormat("gatus", "Gatus", _gatus),
    "blackbox": ImportFormat("blackbox", "blackbox_exporter", _blackbox),
    "monit": ImportFormat("monit", "monit", _monit),
    "uptimerobot": ImportFormat("uptimerobot", "UptimeRobot", _uptime_robot),
}


_YAML_KEYS = re.compile(
    r"^[ \t{\"']*(?:endpoints|services|external-endpoints|suites|modules|scrape_configs)[\"']?[ \t]*:",
    re.MULTILINE,
)
"""A file without any of these keys is not parsed, so that another file gets the correct message."""


def detect(sources: Sequence[ImportSource]) -> ImportFormat:
    """The format of the first file that has the marks of one. Raises SourceError if no file has."""
    for source in sources:
        name = _format_of(source)
        if name is not None:
            return FORMATS[name]
    raise SourceError(
        f"{sources[0].name}: the format is not recognized",
        hint=f"write one of {', '.join(FORMATS)} before the files",
    )


def _format_of(source: ImportSource) -> str | None:
    from monitord.cli.importing import monit, uptime_kuma, uptime_robot  # noqa: PLC0415 - only if it is used

    if source.is_database:
        return "uptime-kuma"
    if source.text.lstrip().startswith("{"):
        try:
            document: Any = json.loads(source.text)
        except (ValueError, RecursionError):
            document = None
        if uptime_kuma.recognizes(document):
            return "uptime-kuma"
    if uptime_robot.recognizes(source.text):
        return "uptimerobot"
    if monit.recognizes(source.text):
        return "monit"
    return _yaml_format_of(source)


def _yaml_format_of(source: ImportSource) -> str | None:
    from monitord.cli.importing import blackbox, gatus  # noqa: PLC0415 - only if it is used

    if _YAML_KEYS.search(source.text) is None:
        return None
    for document in yaml_of(source):
        if gatus.recognizes(document):
            return "gatus"
        if blackbox.recognizes(document):
            return "blackbox"
    return None
