"""Who is told: the notifiers and whether they work, a test of one, and what was told to whom."""

import argparse
from urllib.parse import quote

from monitord.cli.asking import Json, client_of, print_json
from monitord.cli.client import API, RefusedError
from monitord.cli.command import Command, add_lines
from monitord.cli.exits import EXIT_FAILED, EXIT_OK
from monitord.cli.tables import table
from monitord.cli.terminal import width
from monitord.cli.wording import local, plain

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
        head = ("NOTIFIER", "TYPE", "WAITING", "SENT", "LAST SENT", "STATE")
        print("\n".join(table(head, map(_notifier_cells, found), room=width(), colour=False)))
    return EXIT_FAILED if any(one["failing"] for one in found) else EXIT_OK


def _notifier_cells(one: Json) -> tuple[str, ...]:
    last = local(one["last_sent_at"]) if one["last_sent_at"] else "-"
    state = "works" if one["last_sent_at"] else "not used yet"
    if one.get("warning"):
        state = plain(one["warning"])
    if one["failing"]:
        state = f"fails since {local(one['failing_since'])}: {plain(one['failing'])}"
    return one["name"], one["type"], str(one["waiting"]), str(one["sent"]), last, state


def _add_notices_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="only those about this monitor")
    add_lines(parser, SHOWN_AT_ONCE)


def _notices(options: argparse.Namespace) -> int:
    params: list[tuple[str, object]] = [("limit", min(options.lines, MOST))]
    if options.name is not None:
        params.append(("monitor", options.name))
    answer = client_of(options).get(f"{API}/notices", params)
    if options.json:
        print_json(answer)
        return EXIT_OK
    found = answer["notices"]
    if not found:
        print("nobody was told anything")
        return EXIT_OK
    head = ("HAPPENED", "NOTIFIER", "FATE", "NOTICE", "SAID")
    print("\n".join(table(head, map(_notice_cells, found), room=width(), colour=False)))
    return EXIT_OK


def _notice_cells(one: Json) -> tuple[str, ...]:
    via = one["notifier"] if one["via"] == one["notifier"] else f"{one['via']} for {one['notifier']}"
    fate = str(one["fate"]).replace("_", " ")
    return local(one["at"]), via, fate, plain(one["title"]), plain(one["said"])


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
        print(f"{options.notifier}: delivered ({plain(answer['said'])})")
    return EXIT_OK


def _add_notifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notifier", metavar="NOTIFIER", help="as monitorctl notifiers tells it")


NOTIFIERS = Command("notifiers", "who is told, and whether that works", _notifiers, gives_json=True)
NOTICES = Command(
    "notices", "what was told to whom, and what waits", _notices, _add_notices_options, gives_json=True
)
TEST_NOTIFIER = Command(
    "test-notifier", "have a notifier deliver a test now", _test, _add_notifier, gives_json=True
)
