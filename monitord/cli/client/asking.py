"""What several commands ask of the daemon, each thing in one place."""

import argparse
import codecs
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from monitord.cli.client.connection import API, Client, Params, Place, RefusedError, target_of
from monitord.errors import ControlError
from monitord.model import Json
from monitord.paths import socket_to_ask
from monitord.text import did_you_mean

MOST_IN_A_PAGE = 1000

_URL = re.compile(r"https?://[^\s/?#@]+(?:/[!-\"$->@-~]*)?")


def add_place(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--socket", type=Path, metavar="PATH", help="socket of another daemon (or MONITORD_SOCKET)"
    )
    where.add_argument("--url", type=_url, metavar="URL", help="a daemon that listens over TCP")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with the token that allows changes by --url"
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        (parts.hostname or "").encode("idna")
        is_sound = _URL.fullmatch(text) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port, an address or a name that cannot be
        is_sound = False
    if not is_sound:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL; write http://HOST:PORT")
    return text


def place_of(options: argparse.Namespace) -> Place:
    """Raises ControlError where the token cannot be read."""
    token = None
    if options.token_file is not None:
        try:
            token = options.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ControlError(f"{options.token_file}: the token cannot be read: {error}") from None
        if not (token and token.isascii() and token.isprintable()):
            raise ControlError(f"{options.token_file}: a token is one line of letters, digits and signs")
    return Place(options.socket or socket_to_ask(os.environ), options.url, token)


def client_of(options: argparse.Namespace) -> Client:
    return Client(place_of(options))


def json_text(value: object, indent: int | None = None) -> str:
    """JSON between programs is UTF-8 (RFC 8259 section 8.1); where the locale has another encoding it is ASCII."""
    is_unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    return json.dumps(value, indent=indent, ensure_ascii=not is_unicode)


def print_json(value: object) -> None:
    print(json_text(value, indent=2))


def monitor_target(name: str, *more: str) -> str:
    return API + target_of("monitors", name, *more)


def monitors(client: Client, params: Params = ()) -> list[Json]:
    """All that fit, page by page, by name."""
    found: list[Json] = []
    cursor: Sequence[tuple[str, object]] = ()
    while True:
        page = client.get(f"{API}/monitors", [*params, ("limit", MOST_IN_A_PAGE), *cursor])
        found += page["monitors"]
        if page["next_cursor"] is None:
            return found
        cursor = [("cursor", page["next_cursor"])]


@contextlib.contextmanager
def naming(client: Client, name: str) -> Iterator[None]:
    """Where the daemon knows no such monitor: which one may have been meant."""
    try:
        yield
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        names = [one["name"] for one in monitors(client)]
        if name in names:
            raise  # it is something else that a daemon of another version does not know
        raise unknown_monitor(names, name) from None


def unknown_monitor(names: Sequence[str], name: str) -> ControlError:
    """`names`: those that there are."""
    otherwise = "monitorctl status lists them" if names else "none is configured"
    hint = did_you_mean(name, names, most=3) or otherwise
    return ControlError(f"no monitor is called {name!r}", hint=hint)


def monitor(client: Client, name: str) -> Json:
    """One of them in full. Raises ControlError for an unknown name."""
    with naming(client, name):
        found: Json = client.get(monitor_target(name))
    return found


def last_results(client: Client, name: str, *, failed: bool, limit: int) -> list[Json]:
    """The last results, the newest first, with all their fields."""
    with naming(client, name):
        answer = client.get(monitor_target(name, "last"), [("failed", int(failed)), ("limit", limit)])
    results: list[Json] = answer["results"]
    return results


def range_params(since_s: float) -> Params:
    return [("from", f"-{since_s:.3f}")]
