"""Selection of monitors by NAME, patterns and --tag.

A monitor is selected if it has one of the names or matches one of the patterns, and has all of the tags. A name,
pattern or tag without a match is an error. If a command changes something, the daemon selects the monitors, in a single
request, so that either all or none change.
"""

import argparse
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from monitord.cli.client.connection import Client
from monitord.cli.client.requests import fetch_monitors, unknown_monitor
from monitord.errors import ControlError
from monitord.model import Json
from monitord.text import did_you_mean

PATTERN_CHARACTERS = "*?["

NAMES_HELP = "Names of monitors, or patterns such as 'db-*' ('*' selects all); required without --tag"
"""The help of NAME if the command requires a selection."""


def add_selection_options(parser: argparse.ArgumentParser, *, about: str = NAMES_HELP) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help=about)
    add_tag_option(parser)


def add_tag_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="Only monitors with this tag; if repeated, with all of the tags",
    )


def require_selection(options: argparse.Namespace) -> None:
    """End the process with a usage error if no monitor is selected."""
    if not (options.names or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no monitor is selected; write NAME, a pattern such as 'db-*', or --tag TAG")


def only_name(options: argparse.Namespace) -> str | None:
    """The name, if the command line selects a single monitor by its full name."""
    names: Sequence[str] = options.names
    return names[0] if len(names) == 1 and not options.tag and not is_pattern(names[0]) else None


def is_pattern(name: str) -> bool:
    return any(character in name for character in PATTERN_CHARACTERS)


def selection_document(options: argparse.Namespace) -> dict[str, Any]:
    """The selection in the form of the API."""
    parts: Mapping[str, Sequence[str]] = {
        "names": [name for name in options.names if not is_pattern(name)],
        "patterns": [name for name in options.names if is_pattern(name)],
        "tags": options.tag,
    }
    return {key: value for key, value in parts.items() if value}


def selected(
    client: Client, options: argparse.Namespace, of_hosts: Mapping[str, Json] | None = None
) -> list[str]:
    """The names of the selected monitors in the order of the command line. Raises ControlError for an unknown one.

    `of_hosts`: monitors of other hosts by name, which are selected by a name or pattern that no other monitor matches.
    """
    known = fetch_monitors(client)
    names = [str(monitor["name"]) for monitor in known]
    others = of_hosts or {}
    known += others.values()
    check_tags(known, options.tag)
    tagged = [str(monitor["name"]) for monitor in known if set(options.tag).issubset(monitor["tags"])]
    selection = [] if options.names else tagged
    for selector in options.names:
        matching = [name for name in names if matches(name, selector)] or [
            name for name in others if matches(name, selector)
        ]
        if not matching:
            if is_pattern(selector):
                raise ControlError(
                    f"no monitor matches {selector!r}", hint="monitorctl status lists the monitors"
                )
            raise unknown_monitor(client, names, selector)
        selection += [name for name in matching if name in tagged]
    if not selection:
        raise nothing_matches_error(options.names, options.tag)
    return list(dict.fromkeys(selection))


def check_tags(known: Sequence[Json], tags: Sequence[str]) -> None:
    """Raise ControlError for a tag that no monitor has."""
    known_tags = sorted({tag for monitor in known for tag in monitor["tags"]})
    for tag in tags:
        if tag not in known_tags:
            hint = did_you_mean(tag, known_tags) or (
                f"existing tags: {', '.join(known_tags)}" if known_tags else "no tags are configured"
            )
            raise ControlError(f"no monitor has the tag {tag!r}", hint=hint)


def nothing_matches_error(names: Sequence[str], tags: Sequence[str]) -> ControlError:
    condition = (
        f" has {'the tag' if len(tags) == 1 else 'all of the tags'} {', '.join(tags)}" if tags else " matches"
    )
    named = f" named {' or '.join(names)}" if names else ""
    return ControlError(f"no monitor{named}{condition}", hint="monitorctl status lists the monitors")


def matches(name: str, selector: str) -> bool:
    return name == selector or (is_pattern(selector) and fnmatchcase(name, selector))
