"""Which monitors a command is for: NAMEs, patterns among them, and --tag.

The same rule everywhere: a monitor that has one of the names or patterns, and all of the tags. What matches nothing
is an error. Commands that change something leave the choice to the daemon, in one request, so that all or none change.
"""

import argparse
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from monitord.cli.client.asking import monitors, unknown_monitor
from monitord.cli.client.connection import Client
from monitord.errors import ControlError
from monitord.model import Json
from monitord.text import did_you_mean

PATTERN_CHARACTERS = "*?["

TAG_HELP = "only monitors with this tag; repeated: with all of them"


def add_selection(
    parser: argparse.ArgumentParser, *, about: str = "the monitors, or patterns such as 'db-*'"
) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help=about)
    add_tag(parser)


def add_tag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help=TAG_HELP)


def require_selection(options: argparse.Namespace) -> None:
    """Ends with wrong usage where no monitor is named."""
    if not (options.names or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no monitor is named; write NAME, a pattern such as 'db-*', or --tag TAG")


def only_name(options: argparse.Namespace) -> str | None:
    """The one monitor that the command line names, where it names one and in full."""
    names: Sequence[str] = options.names
    return names[0] if len(names) == 1 and not options.tag and not is_pattern(names[0]) else None


def is_pattern(name: str) -> bool:
    return any(character in name for character in PATTERN_CHARACTERS)


def document_of(options: argparse.Namespace) -> dict[str, Any]:
    """The selection as the API wants it."""
    parts: Mapping[str, Sequence[str]] = {
        "names": [name for name in options.names if not is_pattern(name)],
        "patterns": [name for name in options.names if is_pattern(name)],
        "tags": options.tag,
    }
    return {key: value for key, value in parts.items() if value}


def selected(client: Client, options: argparse.Namespace) -> list[str]:
    """The names of those that are meant, in the order of the command line. Raises ControlError where any is unknown."""
    known = monitors(client)
    names = [str(one["name"]) for one in known]
    check_tags(known, options.tag)
    with_tags = [str(one["name"]) for one in known if set(options.tag).issubset(one["tags"])]
    if not options.names:
        found = with_tags
    else:
        found = []
        for wanted in options.names:
            matching = [name for name in names if _matches(name, wanted)]
            if not matching:
                raise unmatched(names, wanted)
            found += [name for name in matching if name in with_tags]
    if not found:
        raise nothing_matches(options.names, options.tag)
    return list(dict.fromkeys(found))


def check_tags(known: Sequence[Json], tags: Sequence[str]) -> None:
    """Raises ControlError for a tag that no monitor has."""
    there = sorted({tag for one in known for tag in one["tags"]})
    for tag in tags:
        if tag not in there:
            raise ControlError(f"no monitor has the tag {tag!r}", hint=_nearest(tag, there, "tags"))


def unmatched(names: Sequence[str], wanted: str) -> ControlError:
    if is_pattern(wanted):
        return ControlError(f"no monitor matches {wanted!r}", hint="monitorctl status lists them")
    return unknown_monitor(names, wanted)


def nothing_matches(names: Sequence[str], tags: Sequence[str]) -> ControlError:
    of_tags = (
        f" has {'the tag' if len(tags) == 1 else 'all the tags'} {', '.join(tags)}" if tags else " matches"
    )
    of_names = f" named {' or '.join(names)}" if names else ""
    return ControlError(f"no monitor{of_names}{of_tags}", hint="monitorctl status lists them")


def _nearest(wanted: str, known: Sequence[str], what: str) -> str:
    if hint := did_you_mean(wanted, known):
        return hint
    return f"known {what} are {', '.join(known)}" if known else "no monitor has any"


def _matches(name: str, wanted: str) -> bool:
    return fnmatchcase(name, wanted) if is_pattern(wanted) else name == wanted
