"""`monitorctl export-page`: the files of a public page in a directory, for a web server or a CDN.

Files are replaced as a whole and only if they have changed, so that a program which uploads them finds few changes; the
HTML file comes last, after the files to which it refers. Badges of services that are no longer on the page are deleted,
and a logo that is not that of the page.
"""

import argparse
import binascii
import os
import re
import tempfile
from base64 import b64decode
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from monitord.cli.client.connection import API, HTTPStatusError, path_of
from monitord.cli.client.requests import client_of, unknown_page
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_OK
from monitord.errors import ControlError
from monitord.model import Json
from monitord.text import counted

TIMEOUT_S = 60.0

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
"""For a web server that serves the directory."""

_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,3}[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""A daemon that is reached over TCP must not write elsewhere."""

_STALE = (
    "badges/*/state.svg",
    "badges/*/uptime.svg",
    *(f"logo.{suffix}" for suffix in ("jpg", "png", "svg", "webp")),
)
"""Files of earlier exports. Nothing else is deleted: the directory may contain files of others."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", metavar="PAGE", help="Name of the page: NAME of [pages.NAME]")
    parser.add_argument(
        "directory", metavar="PATH", type=Path, help="Directory of the files; created if missing"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="Print errors only")


def _run(options: argparse.Namespace) -> int:
    client = client_of(options)
    try:
        response = client.get(API + path_of("pages", options.page, "files"), timeout_s=TIMEOUT_S)
    except HTTPStatusError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        names = [page["name"] for page in client.get(f"{API}/pages")["pages"]]
        raise unknown_page(names, options.page) from None
    files = _files_of(response)
    directory: Path = options.directory
    try:
        changed = [path for path, body in files.items() if _write(directory / path, body)]
        # Files of earlier exports that are no longer part of the page.
        stale = [
            path
            for pattern in _STALE
            for path in directory.glob(pattern)
            if str(path.relative_to(directory)) not in files
        ]
        for path in stale:
            path.unlink()
            if path.parent != directory and not any(path.parent.iterdir()):
                path.parent.rmdir()
        removed = len(stale)
    except OSError as error:
        problem = f"{error.filename or directory}: cannot write the page: {error.strerror or error}"
        raise ControlError(problem) from None
    if not options.quiet:
        print(f"{directory}: {counted(len(files), 'file')}, {len(changed)} changed, {removed} removed")
    return EXIT_OK


def _files_of(response: Json) -> Mapping[str, bytes]:
    """Return the bodies by path. Raises ControlError if the response is not that of a page."""
    files: dict[str, bytes] = {}
    for file in response["files"]:
        path = str(file["path"])
        if _PATH.fullmatch(path) is None:
            raise ControlError(
                f"the response of the daemon contains the path {path!r}, which is not that of a page"
            )
        try:
            files[path] = b64decode(file["body"], validate=True)
        except binascii.Error:
            raise ControlError(f"the response of the daemon contains an invalid file {path!r}") from None
    return files


def _write(path: Path, body: bytes) -> bool:
    """Replace a file as a whole, unless it has this content. Return whether it has changed. Raises OSError."""
    try:
        if path.read_bytes() == body:
            return False
    except FileNotFoundError:
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".page-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, FILE_MODE)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


EXPORT_PAGE = Command(
    "export-page",
    "Write a public page as files, for a web server or a CDN",
    _run,
    _add_options,
    details="Only files that have changed are replaced, each atomically.",
)
