"""Files as responses: read in pieces off the event loop, with validators and one range (RFC 9110 sections 13 and 14).

`FileResponse` sends one file; `static` makes a handler for a directory, from which no path leads out.
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
from .response import Asked, StreamResponse
from .routing import Handler

PIECE_BYTES = 256 * 1024
LONGEST_NUMBER = 18  # digits; whatever is longer lies beyond the end of any file

_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))", re.IGNORECASE)
# What an answer in the file's place must not carry; 304 keeps what RFC 9110 section 15.4.5 has it keep.
_OF_CONTENT = re.compile(r"content-(?!security|location).*")
_OF_FILE = re.compile(r"content-(?!security).*|etag|last-modified|accept-ranges|cache-control|expires")
_TEXT_TYPES = re.compile(r"text/.*|application/(?:javascript|json|xml)|image/svg\+xml")

# Any other error, such as no descriptor left, is one of the server.
_NOT_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)


class FileResponse(StreamResponse):
    """One regular file. Answers 404, 304, 412 and 416 by itself; the file is opened when it is sent."""

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

    async def send(self, request: Asked) -> None:
        try:
            file, fields = await _opened(self.path)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            self._refuse(request, HTTPNotFound())
            return
        try:
            await self._send_open(request, file, fields)
        finally:
            file.close()

    async def _send_open(self, request: Asked, file: IO[bytes], fields: os.stat_result) -> None:
        tag = f'"{fields.st_mtime_ns:x}-{fields.st_size:x}"'
        # RFC 9110 section 8.8.2.1: nothing was modified later than now.
        modified_s = min(int(fields.st_mtime), int(time.time()))
        self.headers.update(
            {"ETag": tag, "Last-Modified": formatdate(modified_s, usegmt=True), "Accept-Ranges": "bytes"}
        )
        refusal = _precondition(request, tag, modified_s)
        if refusal is not None:
            self._refuse(request, refusal)
            return
        size = fields.st_size
        start, length = 0, size
        wanted = _wanted_range(request, tag, modified_s, size)
        if wanted is not None:
            start, length = wanted
            if length == 0:
                unsatisfiable = {"Content-Range": f"bytes */{size}"}
                self._refuse(request, HTTPRequestRangeNotSatisfiable(headers=unsatisfiable))
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
                    break  # it shrank; write_eof sees that the length is not met and breaks the connection
                length -= len(piece)
                await self.write(piece)
        await self.write_eof()

    def _refuse(self, request: Asked, answer: HTTPException) -> None:
        """Send another answer in the file's place, with what handler and middlewares have set beside it."""
        of_file = _OF_CONTENT if answer.status == 304 else _OF_FILE  # noqa: PLR2004
        for name, value in self.headers.items():
            if not of_file.fullmatch(name.lower()):
                answer.headers.add(name, value)
        answer._cookies, answer.forces_close = self._cookies, self.forces_close  # noqa: SLF001 - one of ours
        request.exchange.send_whole(answer)


def static(directory: str | os.PathLike[str], parameter: str = "path") -> Handler:
    """A handler for `/…/{path:path}` that serves the regular files below `directory`, links out of it excluded."""
    root = Path(directory).resolve(strict=True)

    async def serve(request: Request) -> StreamResponse:
        name = request.match_info[parameter]
        path = await asyncio.to_thread(_below, root, name)
        if path is None:
            raise HTTPNotFound
        return FileResponse(path)

    return serve


def _below(root: Path, name: str) -> Path | None:
    if "\0" in name or any(part in {"", ".", ".."} for part in name.split("/")):
        return None
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


async def _opened(path: Path) -> tuple[IO[bytes], os.stat_result]:
    """Open on a thread; a file that arrives after the request was cancelled is closed all the same."""
    opening = asyncio.get_running_loop().run_in_executor(None, _open, path)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: None if done.exception() else done.result()[0].close())
        raise


def _open(path: Path) -> tuple[IO[bytes], os.stat_result]:
    if "\0" in str(path):
        raise FileNotFoundError(errno.ENOENT, "no file has such a name", path)
    # O_NONBLOCK: opening a FIFO must not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    fields = os.fstat(descriptor)
    if not stat.S_ISREG(fields.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return os.fdopen(descriptor, "rb"), fields


def _precondition(request: Asked, tag: str, modified_s: int) -> HTTPException | None:
    """412 or 304 when the client's conditions say so, in the order of RFC 9110 section 13.2.2."""
    if request.method not in {"GET", "HEAD"}:
        return None  # another method has done its work by now, and the file is only what it answers
    headers = request.headers
    matches = _lists(headers, "If-Match", {tag})
    since = _seconds(headers.get("If-Unmodified-Since"))
    if matches is False or (matches is None and since is not None and modified_s > since):
        return HTTPPreconditionFailed()
    matches = _lists(headers, "If-None-Match", {tag, f"W/{tag}"})
    since = _seconds(headers.get("If-Modified-Since"))
    if matches or (matches is None and since is not None and modified_s <= since):
        return HTTPNotModified()
    return None


def _lists(headers: CIMultiDictProxy[str], name: str, tags: set[str]) -> bool | None:
    """Whether a field names one of the tags, or any; None when it is not there."""
    field = ",".join(headers.getall(name, ()))
    return not (tags | {"*"}).isdisjoint(one.strip() for one in field.split(",")) if field else None


def _wanted_range(request: Asked, tag: str, modified_s: int, size: int) -> tuple[int, int] | None:
    """Start and length of the one range that is asked for; length 0 when it lies outside. None: the whole file."""
    field = request.headers.get("Range")
    if field is None or request.method != "GET":
        return None
    condition = request.headers.get("If-Range")
    # A date tells versions apart only once its second is over (RFC 9110 section 8.8.2.2).
    date_s = modified_s if modified_s < int(time.time()) else None
    if condition not in {None, tag} and (date_s is None or _seconds(condition) != date_s):
        return None
    found = _RANGE.fullmatch(field)
    if found is None:
        return None
    if found[3] is not None:
        length = min(_number(found[3]), size)
        return size - length, length
    start, end = _number(found[1]), _number(found[2]) if found[2] else size - 1
    if found[2] and end < start:
        return None
    return start, max(min(end, size - 1) - start + 1, 0)


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= LONGEST_NUMBER else 10**LONGEST_NUMBER


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    # The form of asctime names no zone: it means UTC (RFC 9110 section 5.6.7).
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
