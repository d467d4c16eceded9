"""Notifiers and whether they work, test notifications, and the notifications of the last days."""

import argparse
from http import HTTPStatus

from monitord.cli.client.connection import API, HTTPStatusError, path_of
from monitord.cli.client.requests import client_of, fetch_monitors, print_json, unknown_monitor
from monitord.cli.command import Command, add_lines_option
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import LocalTimes, local, zone
from monitord.cli.selection import add_selection_options, only_name, selected
from monitord.errors import ControlError
from monitord.text import did_you_mean, plain

MAX_LINES = 500
DEFAULT_LINES = 20
TEST_TIMEOUT_S = 310.0
"""A delivery attempt takes at most five minutes."""


def _notifiers(options: argparse.Namespace) -> int:
    response = client_of(options).get(f"{API}/notifiers")
    notifiers = response["notifiers"]
    if options.json:
        print_json(response)
    elif not notifiers:
        print("no notifiers are configured; add [notifiers.NAME] to the configuration, see monitord.toml(5)")
    else:
        local_zone = zone(notifier["last_sent_at"] for notifier in notifiers)
        head = ("NOTIFIER", "TYPE", "UNDELIVERED", "SENT", f"LAST SENT ({local_zone})", "STATE")
        times = LocalTimes(local_zone)
        rows = []
        for notifier in notifiers:
            last_sent = local(notifier["last_sent_at"]) if notifier["last_sent_at"] else "-"
            state = "working" if notifier["last_sent_at"] else "not used yet"
            if notifier.get("warning"):
                state = f"working, with a warning: {plain(notifier['warning'])}"
            if notifier["error"]:
                state = f"failing since {times.moment(notifier['failing_since'])}: {plain(notifier['error'])}"
            undelivered, sent = str(notifier["queued"]), str(notifier["sent"])
            rows.append((notifier["name"], notifier["type"], undelivered, sent, last_sent, state))
        print("\n".join(table(head, rows, max_columns=max_columns(), colour=False, optional=(3, 4, 1))))
    return EXIT_FAILED if any(notifier["error"] for notifier in notifiers) else EXIT_OK


def _add_notifications_options(parser: argparse.ArgumentParser) -> None:
    add_selection_options(
        parser,
        about="Only notifications about monitors with these names or patterns, such as 'db-*'",
    )
    add_lines_option(parser, "notifications", DEFAULT_LINES)


def _notifications(options: argparse.Namespace) -> int:
    params: list[tuple[str, object]] = [("limit", min(options.lines, MAX_LINES))]
    client = client_of(options)
    name = only_name(options)
    if name is not None or not (options.names or options.tag):
        response = client.get(
            f"{API}/notifications", [*params, *([] if name is None else [("monitor", name)])]
        )
    else:
        # Each of them once, as in a response about one monitor.
        responses = [
            client.get(f"{API}/notifications", [*params, ("monitor", name)])
            for name in selected(client, options)
        ]
        by_id = {
            (notification["id"], notification["notifier"]): notification
            for response in responses
            for notification in response["notifications"]
        }
        newest = sorted(by_id.values(), key=lambda notification: str(notification["at"]), reverse=True)
        response = {"notifications": newest[: options.lines], "total": len(newest)}
    notifications = response["notifications"]
    if name is not None and not notifications:
        # Notifications outlive their monitor: only a name without any can be misspelled.
        names = [monitor["name"] for monitor in fetch_monitors(client)]
        if name not in names:
            raise unknown_monitor(client, names, name)
    if options.json:
        print_json(response)
    elif not notifications:
        print("no notifications")
    else:
        local_zone = zone(notification["at"] for notification in notifications)
        head = (f"TIME ({local_zone})", "NOTIFIER", "STATUS", "NOTIFICATION", "RESPONSE")
        times = LocalTimes(local_zone)
        rows = []
        for notification in notifications:
            notifier, delivered_by = notification["notifier"], notification["delivered_by"]
            rows.append(
                (
                    local(notification["at"]),
                    notifier if delivered_by == notifier else f"{delivered_by} for {notifier}",
                    notification["status"],
                    plain(notification["title"]),
                    plain(times.in_text(notification["response"])),
                )
            )
        print(
            "\n".join(table(head, rows, max_columns=max_columns(), colour=False, yielding=3, optional=(1, 0)))
        )
    return EXIT_OK


def _test(options: argparse.Namespace) -> int:
    client = client_of(options)
    path = API + path_of("notifiers", options.notifier, "test")
    try:
        response = client.post(path, timeout_s=TEST_TIMEOUT_S)
    except HTTPStatusError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        names = [notifier["name"] for notifier in client.get(f"{API}/notifiers")["notifiers"]]
        known = f"configured notifiers: {', '.join(names)}" if names else "none is configured"
        hint = did_you_mean(options.notifier, names) or known
        raise ControlError(f"no notifier has the name {options.notifier!r}", hint=hint) from None
    if options.json:
        print_json(response)
    else:
        answer = plain(response["response"])
        print(f"{options.notifier}: accepted" + (f'; response: "{answer}"' if answer else ""))
    return EXIT_OK


def _add_notifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notifier", metavar="NOTIFIER", help="Name of the notifier")


NOTIFIERS = Command(
    "notifiers",
    "Show the notifiers and whether they can deliver",
    _notifiers,
    has_json_option=True,
    details="The exit status is 1 if the last delivery attempt of a notifier has failed.",
)
NOTIFICATIONS = Command(
    "notifications",
    "Show notifications and their delivery status",
    _notifications,
    _add_notifications_options,
    has_json_option=True,
)
TEST_NOTIFIER = Command(
    "test-notifier",
    "Send a test notification",
    _test,
    _add_notifier,
    has_json_option=True,
    details="The exit status is 1 if the delivery fails.",
)
