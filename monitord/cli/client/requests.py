"""Requests to the daemon that several commands share, and the options with its address."""

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

from monitord.cli.client.connection import API, Client, DaemonAddress, HTTPStatusError, Params, path_of
from monitord.errors import ControlError
from monitord.model import Json
from monitord.paths import control_socket
from monitord.text import did_you_mean

MAX_PAGE_ITEMS = 1000

_URL = re.compile(r"https?://[^\s/?#@]+(?:/[!-\"$->@-~]*)?")


def add_address_options(parser: argparse.ArgumentParser) -> None:
    address = parser.add_mutually_exclusive_group()
    address.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="Connect to the daemon at this Unix socket (default: $MONITORD_SOCKET or that of the service)",
    )
    address.add_argument("--url", type=_url, metavar="URL", help="Connect to a daemon over TCP")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="Read the API token for --url from this file"
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        (parts.hostname or "").encode("idna")
        is_valid = _URL.fullmatch(text) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port, the address or the name is invalid
        is_valid = False
    if not is_valid:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL of a daemon; write http://HOST:PORT")
    return text


def address_of(options: argparse.Namespace) -> DaemonAddress:
    """Return the address of the daemon. Raises ControlError if the token cannot be read."""
    token = None
    if options.token_file is not None:
        try:
            token = options.token_file.read_text().strip()
        except OSError as error:
            raise ControlError(
                f"{options.token_file}: cannot read the token: {error.strerror or error}"
            ) from None
        except UnicodeDecodeError:
            token = ""
        if not (token and token.isascii() and token.isprintable()):
            raise ControlError(
                f"{options.token_file}: the file does not contain a token; "
                "write the value of token in [status.tokens.NAME] on one line"
            )
    return DaemonAddress(options.socket or control_socket(os.environ), options.url, token, options.token_file)


def client_of(options: argparse.Namespace) -> Client:
    return Client(address_of(options))


def json_text(value: object, indent: int | None = None) -> str:
    """Encode JSON in UTF-8 (RFC 8259 section 8.1), or in ASCII if the locale has another encoding."""
    is_unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    return json.dumps(value, indent=indent, ensure_ascii=not is_unicode)


def print_json(value: object) -> None:
    print(json_text(value, indent=2))


def monitor_path(name: str, *more: str) -> str:
    return API + path_of("monitors", name, *more)


def fetch_monitors(client: Client, params: Params = ()) -> list[Json]:
    """Fetch all matching monitors, sorted by name."""
    monitors: list[Json] = []
    cursor: Sequence[tuple[str, object]] = ()
    while True:
        page = client.get(f"{API}/monitors", [*params, ("limit", MAX_PAGE_ITEMS), *cursor])
        monitors += page["monitors"]
        if page["next_cursor"] is None:
            return monitors
        cursor = [("cursor", page["next_cursor"])]


def fetch_host_monitors(client: Client, params: Params = ()) -> list[Json]:
    """Fetch the matching monitors of the other hosts of a cluster, named HOST/NAME; none without a cluster."""
    try:
        monitors: list[Json] = client.get(f"{API}/cluster/host-monitors", params)["monitors"]
    except HTTPStatusError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return []
    return monitors


@contextlib.contextmanager
def suggesting_names(client: Client, name: str) -> Iterator[None]:
    """Add similar names to the error if the daemon does not have this monitor."""
    try:
        yield
    except HTTPStatusError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        names = [monitor["name"] for monitor in fetch_monitors(client)]
        if name in names:
            raise  # a daemon of another version, which does not have the endpoint
        raise unknown_monitor(client, names, name) from None


def unknown_monitor(client: Client, names: Sequence[str], name: str) -> ControlError:
    """Return the error for an unknown monitor. `names`: those of the existing monitors."""
    for monitor in fetch_host_monitors(client) if "/" in name else ():
        if monitor["name"] == name:
            host, own_name = monitor["host"], monitor["monitor"]
            return ControlError(
                f"{name} belongs to the host of node {host}",
                hint=f"run monitorctl there, with the name {own_name}",
            )
    otherwise = "monitorctl status lists the monitors" if names else "no monitor is configured"
    # After HOST/NAME, the monitor NAME of this host is not meant.
    near = "" if name.partition("/")[2] in names else did_you_mean(name, names, most=3)
    return ControlError(f"no monitor has the name {name!r}", hint=near or otherwise)


def unknown_page(pages: Sequence[str], name: str) -> ControlError:
    """Return the error for an unknown public page. `pages`: the names of the configured pages."""
    if not pages:
        return ControlError("no public page is configured", hint="add [pages.NAME] to the configuration")
    hint = did_you_mean(name, pages, most=3) or f"configured pages: {', '.join(pages)}"
    return ControlError(f"no public page has the name {name!r}", hint=hint)


def fetch_monitor(client: Client, name: str) -> Json:
    """Fetch a monitor with all its data. Raises ControlError for an unknown name."""
    with suggesting_names(client, name):
        monitor: Json = client.get(monitor_path(name))
    return monitor


def fetch_last_results(client: Client, name: str, *, failed: bool, limit: int) -> list[Json]:
    """Fetch the last results with all their fields, newest first."""
    with suggesting_names(client, name):
        response = client.get(
            monitor_path(name, "recent-results"), [("failed", int(failed)), ("limit", limit)]
        )
    results: list[Json] = response["results"]
    return results


def start_param(age_s: float) -> Params:
    """Return the query parameter for results of the last `age_s` seconds."""
    return [("from", f"-{age_s:.3f}")]
