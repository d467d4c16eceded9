"""Files as responses: read in a thread, with conditional requests and single ranges (RFC 9110 sections 13 and 14).

`FileResponse` sends one file; `static` returns a handler for the files below a directory.
"""

import asyncio
import errno
import mimetypes
import os
import re
import stat
import time
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import IO

from multidict import CIMultiDictProxy

from .exceptions import (
    HTTPException,
    HTTPNotFound,
    HTTPNotModified,
    HTTPPreconditionFailed,
    HTTPRequestRangeNotSatisfiable,
)
from .headers import HeaderSource
from .request import Request
from .response import RequestInfo, StreamResponse
from .routing import Handler

PIECE_BYTES = 256 * 1024
MAX_POSITION_DIGITS = 18  # a longer number is beyond the end of any file

_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.IGNORECASE)
# Fields that are not sent with another response instead of the file. RFC 9110 section 15.4.5: 304 keeps the validators.
_CONTENT_FIELDS = re.compile(r"content-(?!security|location).*")
_FILE_FIELDS = re.compile(r"content-(?!security).*|etag|last-modified|accept-ranges|cache-control|expires")
_TEXT_TYPES = re.compile(r"text/.*|application/(?:javascript|json|xml)|image/svg\+xml")

# Other errors, such as EMFILE, are errors of the server.
_NOT_FOUND_ERRORS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)


class FileResponse(StreamResponse):
    """A regular file, or 404, 304, 412 or 416. The file is opened when the response is sent."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
    ) -> None:
        self.path = Path(path)
        if content_type is None:
            guessed, encoding = mimetypes.guess_type(self.path.name)
            content_type = guessed if guessed and not encoding else "application/octet-stream"
            if _TEXT_TYPES.fullmatch(content_type):
                content_type += "; charset=utf-8"
        super().__init__(headers=headers, content_type=content_type)

    async def send(self, request: RequestInfo) -> None:
        try:
            # If the request is cancelled, the file is closed.
            opening = asyncio.get_running_loop().run_in_executor(None, _open, self.path)
            try:
                file, status = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(lambda done: None if done.exception() else done.result()[0].close())
                raise
        except OSError as error:
            if error.errno not in _NOT_FOUND_ERRORS:
                raise
            self._send_instead(request, HTTPNotFound())
            return
        try:
            await self._send_file(request, file, status)
        finally:
            file.close()

    async def _send_file(self, request: RequestInfo, file: IO[bytes], status: os.stat_result) -> None:
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        # RFC 9110 section 8.8.2.1: Last-Modified is not in the future.
        modified_s = min(int(status.st_mtime), int(time.time()))
        self.headers.update(
            {"ETag": tag, "Last-Modified": formatdate(modified_s, usegmt=True), "Accept-Ranges": "bytes"}
        )
        precondition_response = _check_preconditions(request, tag, modified_s)
        if precondition_response is not None:
            self._send_instead(request, precondition_response)
            return
        size = status.st_size
        start, length = 0, size
        requested = _requested_range(request, tag, modified_s, size)
        if requested is not None:
            start, length = requested
            if length == 0:
                unsatisfiable = {"Content-Range": f"bytes */{size}"}
                self._send_instead(request, HTTPRequestRangeNotSatisfiable(headers=unsatisfiable))
                return
            self.set_status(206)
            self.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        self.content_length = length
        await self.prepare(request)
        if request.exchange.sends_body:
            await asyncio.to_thread(file.seek, start)
            while length:
                piece = await asyncio.to_thread(file.read, min(length, PIECE_BYTES))
                if not piece:
                    break  # the file was truncated; write_eof raises because content_length is not reached
                length -= len(piece)
                await self.write(piece)
        await self.write_eof()

    def _send_instead(self, request: RequestInfo, response: HTTPException) -> None:
        """Send another response instead of the file, with the fields and cookies that were set on this one."""
        omitted = _CONTENT_FIELDS if response.status == 304 else _FILE_FIELDS  # noqa: PLR2004
        for name, value in self.headers.items():
            if not omitted.fullmatch(name.lower()):
                response.headers.add(name, value)
        response._cookies, response.forces_close = self._cookies, self.forces_close  # noqa: SLF001 - same package
        request.exchange.send_complete(response)


def static(directory: str | os.PathLike[str], parameter: str = "path") -> Handler:
    """Return a handler for `/…/{path:path}` that serves the regular files below `directory`.

    Symbolic links that leave the directory are not followed. Raises FileNotFoundError if the directory does not exist.
    """
    root = Path(directory).resolve(strict=True)

    async def serve(request: Request) -> StreamResponse:
        name = request.match_info[parameter]
        path = await asyncio.to_thread(_resolve_below, root, name)
        if path is None:
            raise HTTPNotFound
        return FileResponse(path)

    return serve


def _resolve_below(root: Path, name: str) -> Path | None:
    if "\0" in name or any(part in {"", ".", ".."} for part in name.split("/")):
        return None
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


def _open(path: Path) -> tuple[IO[bytes], os.stat_result]:
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "a file name cannot contain NUL", path)
    # O_NONBLOCK: opening a FIFO does not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return os.fdopen(descriptor, "rb"), status


def _check_preconditions(request: RequestInfo, tag: str, modified_s: int) -> HTTPException | None:
    """Return 412 or 304 if the preconditions of the request require it (RFC 9110 section 13.2.2)."""
    if request.method not in {"GET", "HEAD"}:
        return None  # the handler has already performed another method
    headers = request.headers
    matches = _matches_tag(headers, "If-Match", {tag})
    since = _seconds(headers.get("If-Unmodified-Since"))
    if matches is False or (matches is None and since is not None and modified_s > since):
        return HTTPPreconditionFailed()
    matches = _matches_tag(headers, "If-None-Match", {tag, f"W/{tag}"})
    since = _seconds(headers.get("If-Modified-Since"))
    if matches or (matches is None and since is not None and modified_s <= since):
        return HTTPNotModified()
    return None


def _matches_tag(headers: CIMultiDictProxy[str], name: str, tags: set[str]) -> bool | None:
    """Return whether a field contains one of the tags or `*`; None without the field."""
    field = ",".join(headers.getall(name, ()))
    return not (tags | {"*"}).isdisjoint(tag.strip() for tag in field.split(",")) if field else None


def _requested_range(request: RequestInfo, tag: str, modified_s: int, size: int) -> tuple[int, int] | None:
    """Return start and length of the requested range, length 0 if unsatisfiable; None for the complete file."""
    field = request.headers.get("Range")
    if field is None or request.method != "GET":
        return None
    condition = request.headers.get("If-Range")
    # A date is a strong validator only after its second (RFC 9110 section 8.8.2.2).
    date_s = modified_s if modified_s < int(time.time()) else None
    if condition not in {None, tag} and (date_s is None or _seconds(condition) != date_s):
        return None
    match = _RANGE.fullmatch(field)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(_position(suffix), size)
        return size - length, length
    start, end = _position(first), _position(last) if last else size - 1
    if last and end < start:
        return None
    return start, max(min(end, size - 1) - start + 1, 0)


def _position(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= MAX_POSITION_DIGITS else 10**MAX_POSITION_DIGITS


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    # The asctime format has no time zone; it is UTC (RFC 9110 section 5.6.7).
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
