"""Who is told: the notifiers and whether they work, a test of one, and what was told to whom."""

import argparse
from collections.abc import Sequence
from urllib.parse import quote

from monitord.cli.client.asking import client_of, monitors, print_json, unknown_monitor
from monitord.cli.client.connection import API, Client, Params, RefusedError
from monitord.cli.command import Command, add_lines
from monitord.cli.exits import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import room
from monitord.cli.output.wording import in_local_time, local, local_with_zone, zone
from monitord.cli.selection import add_selection, only_name, selected
from monitord.model import Json
from monitord.text import plain

MOST = 500
SHOWN_AT_ONCE = 20
TEST_TIMEOUT_S = 310.0
"""A notifier has at most five minutes."""


def _notifiers(options: argparse.Namespace) -> int:
    answer = client_of(options).get(f"{API}/notifiers")
    found = answer["notifiers"]
    if options.json:
        print_json(answer)
    elif not found:
        print("nobody is told; add [notifiers.NAME] to the configuration (monitord.toml(5))")
    else:
        head = (
            "NOTIFIER",
            "TYPE",
            "WAITING",
            "SENT",
            f"LAST SENT ({zone(one['last_sent_at'] for one in found)})",
            "STATE",
        )
        rows = map(_notifier_cells, found)
        print("\n".join(table(head, rows, room=room(), colour=False, optional=(3, 4, 1))))
    return EXIT_FAILED if any(one["error"] for one in found) else EXIT_OK


def _notifier_cells(one: Json) -> tuple[str, ...]:
    last = local(one["last_sent_at"]) if one["last_sent_at"] else "-"
    state = "works" if one["last_sent_at"] else "not used yet"
    if one.get("warning"):
        state = plain(one["warning"])
    if one["error"]:
        state = f"fails since {local_with_zone(one['failing_since'])}: {plain(one['error'])}"
    return one["name"], one["type"], str(one["queued"]), str(one["sent"]), last, state


def _add_notifications_options(parser: argparse.ArgumentParser) -> None:
    add_selection(parser, about="only those about these monitors; patterns such as 'db-*' as well")
    add_lines(parser, SHOWN_AT_ONCE)


def _notifications(options: argparse.Namespace) -> int:
    params: list[tuple[str, object]] = [("limit", min(options.lines, MOST))]
    client = client_of(options)
    name = only_name(options)
    if name is not None or not (options.names or options.tag):
        answer = client.get(f"{API}/notifications", [*params, *([] if name is None else [("monitor", name)])])
    else:
        answer = _notifications_of_all(client, selected(client, options), params, options.lines)
    if name is not None and not answer["notifications"]:
        _check_name(client, name)
    if options.json:
        print_json(answer)
        return EXIT_OK
    found = answer["notifications"]
    if not found:
        print("nobody was told anything")
        return EXIT_OK
    head = (
        f"HAPPENED ({zone(one['at'] for one in found)})",
        "NOTIFIER",
        "STATUS",
        "NOTIFICATION",
        "RESPONSE",
    )
    rows = map(_notification_cells, found)
    print("\n".join(table(head, rows, room=room(), colour=False, yielding=3, optional=(1, 0))))
    return EXIT_OK


def _notifications_of_all(client: Client, names: Sequence[str], params: Params, most: int) -> Json:
    """The newest about several monitors, in the form of an answer about one. Messages about several come once."""
    answers = [client.get(f"{API}/notifications", [*params, ("monitor", name)]) for name in names]
    found = {(one["id"], one["notifier"]): one for answer in answers for one in answer["notifications"]}
    newest = sorted(found.values(), key=lambda one: str(one["at"]), reverse=True)
    return {"notifications": newest[:most], "total": len(newest)}


def _check_name(client: Client, name: str) -> None:
    """Notifications outlive their monitor, so only a name without any can be a typing error."""
    names = [one["name"] for one in monitors(client)]
    if name not in names:
        raise unknown_monitor(names, name)


def _notification_cells(one: Json) -> tuple[str, ...]:
    delivered_by = (
        one["notifier"]
        if one["delivered_by"] == one["notifier"]
        else f"{one['delivered_by']} for {one['notifier']}"
    )
    return (
        local(one["at"]),
        delivered_by,
        one["status"],
        plain(one["title"]),
        plain(in_local_time(one["response"])),
    )


def _test(options: argparse.Namespace) -> int:
    target = f"{API}/notifiers/{quote(options.notifier, safe='')}/test"
    client = client_of(options)
    try:
        answer = client.post(target, timeout_s=TEST_TIMEOUT_S)
    except RefusedError as error:
        if error.status == 404:  # noqa: PLR2004 - RFC 9110
            known = ", ".join(one["name"] for one in client.get(f"{API}/notifiers")["notifiers"])
            raise RefusedError(
                f"no notifier is called {options.notifier}",
                error.status,
                error.answer,
                hint=f"known are {known}" if known else "there is none; see monitord.toml(5)",
            ) from None
        raise
    if options.json:
        print_json(answer)
    else:
        print(f"{options.notifier}: delivered ({plain(answer['response'])})")
    return EXIT_OK


def _add_notifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notifier", metavar="NOTIFIER", help="as monitorctl notifiers tells it")


NOTIFIERS = Command("notifiers", "who is told, and whether that works", _notifiers, gives_json=True)
NOTIFICATIONS = Command(
    "notifications",
    "what was told to whom, and what waits",
    _notifications,
    _add_notifications_options,
    gives_json=True,
)
TEST_NOTIFIER = Command(
    "test-notifier", "have a notifier deliver a test now", _test, _add_notifier, gives_json=True
)
