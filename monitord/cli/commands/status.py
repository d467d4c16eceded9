"""`monitorctl status`: the state of the monitors, once or repeatedly."""

import argparse
from collections.abc import Sequence

from monitord.cli.client.connection import API, Client, Params
from monitord.cli.client.requests import client_of, fetch_host_monitors, fetch_monitors, print_json
from monitord.cli.command import Command, add_every_option
from monitord.cli.exit_status import EXIT_OK, exit_of_state
from monitord.cli.output.tables import headline, monitor_rows, worst_first
from monitord.cli.output.terminal import Screen, max_columns, wants_colour
from monitord.cli.parsing import state
from monitord.cli.selection import add_tag_option, check_tags, nothing_matches_error
from monitord.errors import ControlError
from monitord.model import Json
from monitord.text import did_you_mean


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern",
        metavar="NAME",
        nargs="*",
        help="Only monitors whose name contains this text, or matches a pattern such as 'db-*'",
    )
    add_tag_option(parser)
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        type=state,
        metavar="STATE",
        help="Only monitors in this state; if repeated, in any of the states",
    )
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="TYPE",
        help="Only monitors of this type; if repeated, of any of the types",
    )
    parser.add_argument(
        "--this-host",
        action="store_true",
        help="In a cluster, without the monitors that belong to the hosts of other nodes",
    )
    parser.add_argument("-w", "--watch", action="store_true", help="Refresh the output until q or Ctrl-C")
    add_every_option(parser)


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    if options.watch:
        if options.json:
            parser: argparse.ArgumentParser = options.parser
            parser.error("--watch does not print JSON; use --json without it, or: events --follow --json")
        return _watch(client, options)
    status, monitors = _read(client, options)
    _check_selection(client, options, monitors)
    if options.json:
        of_hosts = [monitor for monitor in monitors if "host" in monitor]
        shown = {"monitors": worst_first([monitor for monitor in monitors if "host" not in monitor])}
        print_json({"status": status, **shown, **({"host_monitors": of_hosts} if of_hosts else {})})
    else:
        print("\n".join(_lines(status, monitors)))
    if not monitors and not (options.pattern or options.tag or options.state or options.type):
        return exit_of_state(status["worst_state"])
    return exit_of_state(worst_first(monitors)[0]["state"]) if monitors else EXIT_OK


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
                return EXIT_OK


def _read(client: Client, options: argparse.Namespace) -> tuple[Json, list[Json]]:
    """The state of the daemon, and the selected monitors, including those of the other hosts of a cluster."""
    status: Json = client.get(f"{API}/status")
    filters = [
        *(("tag", tag) for tag in options.tag),
        *(("state", state) for state in options.state),
        *(("type", name) for name in options.type),
    ]

    def fetch(params: Params) -> list[Json]:
        monitors = fetch_monitors(client, params)
        return monitors if options.this_host else [*monitors, *fetch_host_monitors(client, params)]

    if not options.pattern:
        return status, fetch(filters)
    by_key = {
        ("host" in monitor, monitor["name"]): monitor
        for pattern in options.pattern
        for monitor in fetch([*filters, ("name", pattern)])
    }
    return status, list(by_key.values())


def _check_selection(client: Client, options: argparse.Namespace, monitors: Sequence[Json]) -> None:
    """Raise ControlError for a name, pattern, tag or type that no monitor has: it is probably misspelled.

    It is not an error if no monitor is in a state.
    """
    if len(options.pattern) > 1 or not monitors:
        for pattern in options.pattern:
            if not any(fetch(client, [("name", pattern)]) for fetch in (fetch_monitors, fetch_host_monitors)):
                raise ControlError(
                    f"no monitor matches {pattern!r}", hint="monitorctl status lists all monitors"
                )
    if monitors or not (options.pattern or options.tag or options.type):
        return
    known = [*fetch_monitors(client), *fetch_host_monitors(client)]
    check_tags(known, options.tag)
    types = sorted({monitor["type"] for monitor in known})
    for name in options.type:
        if name not in types:
            hint = did_you_mean(name, types) or f"existing types: {', '.join(types)}"
            raise ControlError(f"no monitor has the type {name!r}", hint=hint)
    of_type = [monitor for monitor in known if not options.type or monitor["type"] in options.type]
    if not any(set(options.tag).issubset(monitor["tags"]) for monitor in of_type):
        raise nothing_matches_error([], options.tag)
    if not options.state:
        raise nothing_matches_error(options.pattern, options.tag)


def _lines(status: Json, monitors: Sequence[Json]) -> list[str]:
    lines = headline(status)
    if monitors:
        lines += ["", *monitor_rows(monitors, max_columns=max_columns(), colour=wants_colour())]
    elif status["monitors"]["total"]:
        lines += ["", "no monitor matches"]
    return lines


STATUS = Command(
    "status",
    "Show the state of monitors",
    _run,
    _add_options,
    has_json_option=True,
    details="""\
exit status (of several monitors, the worst):
  0    Up, pending or paused, or no monitor is in the given states
  1    Degraded, or the request has failed
  2    Down, unreachable or unknown
  3    The daemon cannot be reached""",
)
