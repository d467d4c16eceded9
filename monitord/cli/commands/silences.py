"""Silences: no messages about some monitors until a time. The checks and the states go on."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from http import HTTPStatus

from monitord.cli.client.asking import client_of, monitors, print_json, unknown_monitor
from monitord.cli.client.connection import API, RefusedError, target_of
from monitord.cli.command import Command, add_message
from monitord.cli.exits import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import room
from monitord.cli.output.wording import local, local_with_zone, zone
from monitord.cli.parsing import moment_to_come, some_duration
from monitord.cli.selection import add_tag, is_pattern
from monitord.model import Json


def _add_silence_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="the monitors, or patterns such as 'db-*'")
    parser.add_argument(
        "--pattern", action="append", default=[], metavar="PATTERN", help="those whose name fits, as db-*"
    )
    add_tag(parser)
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument("--for", dest="duration_s", type=some_duration, metavar="DURATION", help="so long")
    end.add_argument("--until", type=moment_to_come, metavar="TIME", help="18:00, or a date and a time")
    add_message(parser)


def _silence(options: argparse.Namespace) -> int:
    if not (options.names or options.pattern or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no monitor is meant; name some, or write --pattern or --tag")
    client = client_of(options)
    options.pattern = [*(name for name in options.names if is_pattern(name)), *options.pattern]
    options.names = [name for name in options.names if not is_pattern(name)]
    known = monitors(client)
    _refuse_unknown(known, options.names)
    document: dict[str, object] = {
        "names": options.names,
        "patterns": options.pattern,
        "tags": options.tag,
        "comment": options.message,
    }
    until: datetime | None = options.until
    document |= {"duration_s": options.duration_s} if until is None else {"until": until.isoformat()}
    silence = client.post(f"{API}/silences", document)
    if options.json:
        print_json(silence)
    else:
        print(f"{silence['id']}: {_meant(silence)} silenced until {local_with_zone(silence['until'])}")
    idle_parts = list(_fit_nobody(known, options))
    if not idle_parts and not any(_is_meant(one, options) for one in known):
        idle_parts = ["no monitor matches all of this now"]
    for idle in idle_parts:
        print(f"monitorctl: {idle}; the silence holds for those that come", file=sys.stderr)
    return EXIT_OK


def _refuse_unknown(known: Sequence[Json], names: Sequence[str]) -> None:
    """A silence for a name with a slip of the pen would be kept, and nobody would be silent."""
    there = [one["name"] for one in known]
    for name in names:
        if name not in there:
            raise unknown_monitor(there, name)


def _fit_nobody(known: Sequence[Json], options: argparse.Namespace) -> Iterator[str]:
    """A pattern or tag may be meant for monitors to come, and may as well be a slip of the pen."""
    for pattern in options.pattern:
        if not any(fnmatchcase(one["name"], pattern) for one in known):
            yield f"no monitor fits {pattern} now"
    for tag in options.tag:
        if not any(tag in one["tags"] for one in known):
            yield f"no monitor has the tag {tag} now"


def _is_meant(one: Json, options: argparse.Namespace) -> bool:
    name, patterns = one["name"], options.pattern
    is_named = name in options.names or any(fnmatchcase(name, pattern) for pattern in patterns)
    return (is_named or not (options.names or patterns)) and set(options.tag).issubset(one["tags"])


def _meant(silence: Json) -> str:
    """ "db-*, shop with tag prod": one of the names, and all of the tags."""
    named = ", ".join([*silence["names"], *silence["patterns"]])
    tags = " and ".join(f"tag {tag}" for tag in silence["tags"])
    return f"{named} with {tags}" if named and tags else named or tags


def _silences(options: argparse.Namespace) -> int:
    answer = client_of(options).get(f"{API}/silences")
    if options.json:
        print_json(answer)
        return EXIT_OK
    found = answer["silences"]
    if not found:
        print("nothing is silenced")
        return EXIT_OK
    head = ("ID", f"UNTIL ({zone(one['until'] for one in found)})", "BY", "MONITORS", "COMMENT")
    rows = [(one["id"], local(one["until"]), one["by"], _meant(one), one["comment"] or "") for one in found]
    print("\n".join(table(head, rows, room=room(), colour=False, yielding=3, optional=(2,))))
    return EXIT_OK


def _unsilence(options: argparse.Namespace) -> int:
    if not (options.ids or options.tag):
        parser: argparse.ArgumentParser = options.parser
        parser.error("no silence is meant; write ID, NAME, a pattern such as 'db-*', or --tag TAG")
    client, status = client_of(options), EXIT_OK
    found = client.get(f"{API}/silences")["silences"]
    ids, complaints = _chosen(found, options.ids, options.tag)
    for silence_id in ids:
        try:
            client.delete(API + target_of("silences", silence_id))
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            complaints.append(str(error))
        else:
            print(f"{silence_id}: ended")
    for complaint in complaints:
        print(f"monitorctl: {complaint}", file=sys.stderr)
        status = EXIT_FAILED
    return status


def _chosen(
    silences: Sequence[Json], wanted: Sequence[str], tags: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The ids of the silences to end, and what is wrong with the rest of the command line.

    A silence that is also for monitors that are not named is not ended: nobody has asked for those.
    """
    by_id = {str(one["id"]): one for one in silences}
    tagged = [one for one in silences if set(tags).issubset(one["tags"])]
    named = [word for word in dict.fromkeys(wanted) if word not in by_id]
    chosen, complaints = [word for word in dict.fromkeys(wanted) if word in by_id], []
    if tags and not wanted:
        chosen = [str(one["id"]) for one in tagged]
        if not chosen:
            complaints.append(f"no silence has the tag {' and '.join(tags)}; monitorctl silences lists them")
    used: set[str] = set()
    for one in tagged:
        written = [*one["names"], *one["patterns"]]
        matching = {word for word in named if any(_fits(name, word) for name in written)}
        others = [name for name in written if not any(_fits(name, word) for word in matching)]
        used |= matching
        if matching and others:
            complaints.append(f"silence {one['id']} is also for {', '.join(others)}; write its ID to end it")
        elif matching:
            chosen.append(str(one["id"]))
    complaints += [
        f"no silence has the id {word!r} or is for monitors of that name; monitorctl silences lists them"
        for word in named
        if word not in used
    ]
    return list(dict.fromkeys(chosen)), complaints


def _fits(name: str, wanted: str) -> bool:
    return name == wanted or (is_pattern(wanted) and fnmatchcase(name, wanted))


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="*",
        help="as monitorctl silences shows it, or the name or pattern that is silenced",
    )
    add_tag(parser)


SILENCE = Command(
    "silence", "no messages about some monitors for a time", _silence, _add_silence_options, gives_json=True
)
SILENCES = Command("silences", "the silences that have not ended", _silences, gives_json=True)
UNSILENCE = Command("unsilence", "end a silence early", _unsilence, _add_id)
