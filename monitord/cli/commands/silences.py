"""Silences: notifications about some monitors are suppressed for a given time; checks and transitions continue."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from http import HTTPStatus

from monitord.cli.client.connection import API, HTTPStatusError, path_of
from monitord.cli.client.requests import client_of, fetch_monitors, print_json, unknown_monitor
from monitord.cli.command import Command, add_comment_option
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import local, local_with_zone, zone
from monitord.cli.parsing import future_time, positive_duration
from monitord.cli.selection import add_tag_option, is_pattern, matches
from monitord.model import Json


def _add_silence_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="Names of monitors, or patterns such as 'db-*'; required without --pattern and --tag",
    )
    parser.add_argument(
        "--pattern",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Monitors whose name matches; the same as a pattern for NAME",
    )
    add_tag_option(parser)
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument(
        "--for",
        dest="duration_s",
        type=positive_duration,
        metavar="DURATION",
        help="Duration, such as 30m or 2h; a plain number is seconds",
    )
    end.add_argument(
        "--until", type=future_time, metavar="TIME", help="End of the silence: 18:00, or a date and a time"
    )
    add_comment_option(parser)


def _silence(options: argparse.Namespace) -> int:
    if not (options.names or options.pattern or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no monitor is selected; write NAME, a pattern such as 'db-*', or --tag TAG")
    client = client_of(options)
    names = [name for name in options.names if not is_pattern(name)]
    patterns = [*(name for name in options.names if is_pattern(name)), *options.pattern]
    known = fetch_monitors(client)
    known_names = [monitor["name"] for monitor in known]
    for name in names:
        # The daemon accepts names of future monitors, but a misspelled name would silence nothing.
        if name not in known_names:
            raise unknown_monitor(client, known_names, name)
    document: dict[str, object] = {
        "names": names,
        "patterns": patterns,
        "tags": options.tag,
        "comment": options.comment,
    }
    until: datetime | None = options.until
    document |= {"duration_s": options.duration_s} if until is None else {"until": until.isoformat()}
    silence = client.post(f"{API}/silences", document)
    if options.json:
        print_json(silence)
    else:
        until_text = local_with_zone(silence["until"])
        print(f"{silence['id']}: {_monitors_of(silence)} silenced until {until_text}")
    for warning in _selection_warnings(known, names, patterns, options.tag):
        print(f"monitorctl: {warning}; the silence applies to future monitors", file=sys.stderr)
    return EXIT_OK


def _selection_warnings(
    known: Sequence[Json], names: Sequence[str], patterns: Sequence[str], tags: Sequence[str]
) -> Iterator[str]:
    """Yield a warning for each pattern and tag that matches no monitor, which may be misspelled."""
    has_problem = False
    for pattern in patterns:
        if not any(fnmatchcase(monitor["name"], pattern) for monitor in known):
            has_problem = True
            yield f"no monitor matches {pattern!r}"
    for tag in tags:
        if not any(tag in monitor["tags"] for monitor in known):
            has_problem = True
            yield f"no monitor has the tag {tag!r}"
    if not has_problem and not any(_is_selected(monitor, names, patterns, tags) for monitor in known):
        yield "no monitor matches both the names and the tags"


def _is_selected(monitor: Json, names: Sequence[str], patterns: Sequence[str], tags: Sequence[str]) -> bool:
    name = monitor["name"]
    is_named = name in names or any(fnmatchcase(name, pattern) for pattern in patterns)
    return (is_named or not (names or patterns)) and set(tags).issubset(monitor["tags"])


def _monitors_of(silence: Json) -> str:
    """Return the selection of a silence as text, such as "db-*, shop with tag prod"."""
    named = ", ".join([*silence["names"], *silence["patterns"]])
    tags = " and ".join(f"tag {tag}" for tag in silence["tags"])
    return f"{named} with {tags}" if named and tags else named or tags


def _silences(options: argparse.Namespace) -> int:
    response = client_of(options).get(f"{API}/silences")
    silences = response["silences"]
    if options.json:
        print_json(response)
    elif not silences:
        print("no silences")
    else:
        local_zone = zone(silence["until"] for silence in silences)
        head = ("ID", f"UNTIL ({local_zone})", "BY", "MONITORS", "COMMENT")
        rows = [
            (
                silence["id"],
                local(silence["until"]),
                silence["by"],
                _monitors_of(silence),
                silence["comment"] or "",
            )
            for silence in silences
        ]
        print(
            "\n".join(table(head, rows, max_columns=max_columns(), colour=False, yielding=3, optional=(2,)))
        )
    return EXIT_OK


def _unsilence(options: argparse.Namespace) -> int:
    if not (options.ids or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no silence is selected; write ID, NAME, a pattern such as 'db-*', or --tag TAG")
    client = client_of(options)
    ids, problems = _selected_ids(client.get(f"{API}/silences")["silences"], options.ids, options.tag)
    for silence_id in ids:
        try:
            client.delete(API + path_of("silences", silence_id))
        except HTTPStatusError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            problems.append(str(error))
        else:
            print(f"{silence_id}: ended")
    for problem in problems:
        print(f"monitorctl: {problem}", file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK


def _selected_ids(
    silences: Sequence[Json], words: Sequence[str], tags: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the ids of the silences to expire, and the problems with the other words of the command line.

    A silence that also applies to monitors that are not named is not ended.
    """
    by_id = {str(silence["id"]): silence for silence in silences}
    tagged = [silence for silence in silences if set(tags).issubset(silence["tags"])]
    ids: list[str] = []
    names: list[str] = []
    for word in dict.fromkeys(words):
        (ids if word in by_id else names).append(word)
    problems = []
    if tags and not words:
        ids = [str(silence["id"]) for silence in tagged]
        if not ids:
            problems.append(
                f"no silence has the tag {' and '.join(tags)}; monitorctl silences lists the silences"
            )
    used: set[str] = set()
    for silence in tagged:
        silenced = [*silence["names"], *silence["patterns"]]
        matching = {word for word in names if any(matches(name, word) for name in silenced)}
        others = [name for name in silenced if not any(matches(name, word) for word in matching)]
        used |= matching
        if matching and others:
            problems.append(
                f"silence {silence['id']} also applies to {', '.join(others)}; write its ID to end it"
            )
        elif matching:
            ids.append(str(silence["id"]))
    problems += [
        f"no silence has the ID {word!r} or applies to monitors of this name; monitorctl silences lists the silences"
        for word in names
        if word not in used
    ]
    return list(dict.fromkeys(ids)), problems


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids", metavar="ID", nargs="*", help="IDs of silences, or the names or patterns that are silenced"
    )
    add_tag_option(parser)


SILENCE = Command(
    "silence",
    "Suppress notifications about monitors for a given time",
    _silence,
    _add_silence_options,
    has_json_option=True,
    details="Checks and transitions continue.",
)
SILENCES = Command("silences", "Show current silences", _silences, has_json_option=True)
UNSILENCE = Command("unsilence", "End silences early", _unsilence, _add_ids)
