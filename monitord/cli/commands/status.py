"""`monitorctl status`: the states of the monitors, all or those that are meant; once or again and again."""

import argparse
from collections.abc import Sequence

from monitord.cli.client.asking import client_of, monitors, print_json
from monitord.cli.client.connection import API, Client
from monitord.cli.command import Command
from monitord.cli.exits import exit_of_health
from monitord.cli.output.tables import headline, monitor_rows, worst_first
from monitord.cli.output.terminal import Screen, room, wants_colour
from monitord.cli.parsing import some_duration, state
from monitord.cli.selection import add_tag, check_tags, nothing_matches
from monitord.errors import ControlError
from monitord.model import Json

EVERY_S = 2.0


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern", metavar="NAME", nargs="*", help="only those whose name has this in it, or fits it with * ?"
    )
    add_tag(parser)
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        type=state,
        metavar="STATE",
        help="only those in this state; repeated: in one of them",
    )
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="TYPE",
        help="only those of this type; repeated: of one of them",
    )
    parser.add_argument("-w", "--watch", action="store_true", help="show it again and again")
    parser.add_argument(
        "--every", type=some_duration, default=EVERY_S, metavar="DURATION", help="with --watch (default: 2s)"
    )


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    if options.watch:
        if options.json:
            parser: argparse.ArgumentParser = options.parser
            parser.error("--json prints once; leave --watch out, or follow with events --follow --json")
        return _watch(client, options)
    status, found = _read(client, options)
    _check_selection(client, options, found)
    if options.json:
        print_json({"status": status, "monitors": worst_first(found)})
    else:
        print("\n".join(_lines(status, found)))
    return exit_of_health(_health(status, found, options))


def _watch(client: Client, options: argparse.Namespace) -> int:
    with Screen() as screen:
        while True:
            try:
                lines = _lines(*_read(client, options))
            except ControlError as error:
                if screen.is_empty:
                    raise
                lines = [f"monitorctl: {error}"]
            screen.show(lines)
            if screen.wait(options.every).lower() == "q":
                return 0


def _read(client: Client, options: argparse.Namespace) -> tuple[Json, list[Json]]:
    """The daemon, and the monitors that are meant."""
    status: Json = client.get(f"{API}/status")
    filters = [
        *(("tag", tag) for tag in options.tag),
        *(("state", state) for state in options.state),
        *(("type", name) for name in options.type),
    ]
    if not options.pattern:
        return status, monitors(client, filters)
    found = {
        one["name"]: one
        for pattern in options.pattern
        for one in monitors(client, [*filters, ("name", pattern)])
    }
    return status, list(found.values())


def _check_selection(client: Client, options: argparse.Namespace, found: Sequence[Json]) -> None:
    """A name, pattern, tag or type that nothing matches is an error: a typing error must not look like good news.

    That no monitor is in a state is none.
    """
    if len(options.pattern) > 1 or not found:
        for pattern in options.pattern:
            if not monitors(client, [("name", pattern)]):
                raise ControlError(f"no monitor fits {pattern}", hint="monitorctl status lists all of them")
    if found or not (options.pattern or options.tag or options.type):
        return
    known = monitors(client)
    check_tags(known, options.tag)
    types = sorted({one["type"] for one in known})
    for name in options.type:
        if name not in types:
            raise ControlError(f"no monitor is of type {name!r}", hint=f"known types are {', '.join(types)}")
    of_type = [one for one in known if not options.type or one["type"] in options.type]
    if not any(set(options.tag).issubset(one["tags"]) for one in of_type):
        raise nothing_matches([], options.tag)
    if not options.state:
        raise nothing_matches(options.pattern, options.tag)


def _health(status: Json, found: Sequence[Json], options: argparse.Namespace) -> str:
    """That of the worst of those that were asked for."""
    if not (options.pattern or options.tag or options.state or options.type):
        return str(status["worst_state"])
    return str(worst_first(found)[0]["state"]) if found else "up"


def _lines(status: Json, found: Sequence[Json]) -> list[str]:
    lines = headline(status)
    if found:
        lines += ["", *monitor_rows(found, room=room(), colour=wants_colour())]
    elif status["monitors"]["total"]:
        lines += ["", "no monitor matches"]
    return lines


STATUS = Command(
    "status",
    "the states of the monitors; the exit status is that of the worst",
    _run,
    _add_options,
    gives_json=True,
)
