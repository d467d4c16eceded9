"""Receive the body of a response, and decode it if the request reads it.

Content codings are decoded in pieces, with an iteration of the event loop after each piece. The limit of the body
applies to the decoded size too. If a coding is not supported, the exchange has no body: compressed bytes never become
the body.
"""

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import aiohttp

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.phases import Phase
from monitord.net.http.outcome import Abandoned, ExchangeProgress, HttpExchange
from monitord.net.http.request import ENDLESS_TYPES, HttpRequest
from monitord.net.http.response import BEGINNING_BYTES, Deviation, ResponseParser

PIECE_BYTES = 128 * 1024
"""Maximum decoded bytes between two iterations of the event loop."""
INPUT_BYTES = 64 * 1024
BEGINNING_WITHIN_S = 1.0
"""Timeout for the beginning of the body of a request with `status_decides`."""
MEMBERS_AT_ONCE = 64
"""Maximum gzip members between two iterations of the event loop."""
BROTLI_INPUT_BYTES = 8
"""Debian's brotli cannot limit its output. 8 bytes contain at most one meta-block of 16 MiB (RFC 7932, section 9.2)."""
ZSTD_INPUT_BYTES = 64
"""A block has at least 4 bytes and at most 128 KiB of content (RFC 8878, section 3.1.1.2)."""
MAX_CODINGS = 4

ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""The maximum window size of a response (RFC 9659)."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_DEFLATE = 8  # RFC 1950, section 2.2
_PLAIN = frozenset(
    {"", "identity", "none", "utf-8"}
)  # the last two are not codings, but some servers send them

_Note = Callable[[Deviation], None]


class _Undecodable(Exception):  # noqa: N818 - the exchange succeeds without a body
    pass


async def receive(
    request: HttpRequest, response: aiohttp.ClientResponse, progress: ExchangeProgress
) -> HttpExchange:
    """Receive the rest of a response and return the exchange. Raises `ExchangeError` or `Abandoned`."""
    reception: Any = response.content  # a Reception, see connector.py
    parser: ResponseParser = reception.parser
    progress.timer.enter(Phase.TRANSFER)
    is_received = _is_to_be_received(request, response)
    if request.status_decides:
        # CancelledError too: the request has succeeded even if the daemon stops now.
        with suppress(TimeoutError, ExchangeError, Abandoned, asyncio.CancelledError):
            async with asyncio.timeout(BEGINNING_WITHIN_S):
                await reception.wait_for_end(enough_bytes=BEGINNING_BYTES)
    elif is_received:
        await reception.wait_for_end()
    phases = dict.fromkeys(Phase, 0.0) | progress.timer.read()
    duration_s = progress.timer.elapsed_s()
    received = bytes(parser.body)
    codings = _codings(response, parser)
    body: bytes | None = None
    problem = ""
    if request.read_body:
        try:
            body = await _decoded(received, codings, request.max_body_bytes, parser.note)
        except _Undecodable as error:
            problem = str(error)
    beginning = _beginning(received, codings) if body is None else body[:BEGINNING_BYTES]
    version = response.version
    return HttpExchange(
        status=response.status,
        reason_phrase=response.reason or "",
        headers=response.headers if parser.head is None else parser.head.headers,
        http_version=f"{version.major}.{version.minor}" if version is not None else "",
        body=body,
        beginning=beginning,
        body_bytes=parser.body_bytes if is_received else None,
        redirects=progress.redirects,
        address=progress.address or "",
        ip_version=progress.ip_version,
        phases=phases,
        duration_s=duration_s,
        tls=progress.tls_fields(certificate=request.want_certificate),
        target=progress.target,
        hops=progress.hops,
        deviations=tuple(dict.fromkeys((*progress.deviations, *parser.deviations)))
        if progress.deviations or parser.deviations
        else (),
        body_problem=problem,
    )


def _is_to_be_received(request: HttpRequest, response: aiohttp.ClientResponse) -> bool:
    if not request.receive_body:
        return False
    if request.receive_streams:
        return True
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type.startswith(
        ("audio/", "video/")
    ):  # possibly a live stream, such as a radio station or a camera
        return "Content-Length" in response.headers
    return media_type not in ENDLESS_TYPES


def _codings(response: aiohttp.ClientResponse, parser: ResponseParser) -> list[str]:
    """Return the codings in lower case, in the order in which they were applied."""
    if "Content-Encoding" not in response.headers:
        return list(parser.compressions)
    names = ",".join(response.headers.getall("Content-Encoding")).split(",")
    codings = [name.strip().lower() for name in names]
    return [name for name in (*codings, *parser.compressions) if name not in _PLAIN]


async def _decoded(body: bytes, codings: list[str], limit_bytes: int, note: _Note) -> bytes:
    """Return the body without its content codings.

    Raises `ExchangeError` if the data is invalid, truncated or too large, `_Undecodable` for an unsupported coding.
    """
    if not codings or not body:
        return body
    if len(codings) > MAX_CODINGS:
        raise _Undecodable(f"the body has more than {MAX_CODINGS} content codings")
    for coding in reversed(codings):
        plain = bytearray()
        try:
            for number, piece in enumerate(_pieces(coding, body, note)):
                plain += piece
                if len(plain) > limit_bytes:
                    raise ExchangeError(FailureKind.TOO_LARGE, f"the body is larger than {limit_bytes} bytes")
                if number:
                    await asyncio.sleep(0)
        except EOFError:
            raise ExchangeError(
                FailureKind.PROTOCOL_ERROR, f"the {coding} data of the body is truncated"
            ) from None
        except ValueError:
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, f"the body is not valid {coding} data") from None
        body = bytes(plain)
    return body


def _beginning(body: bytes, codings: list[str]) -> bytes:
    """Return the decoded beginning of a body, up to the first invalid byte."""
    for coding in reversed(codings):
        plain = bytearray()
        with suppress(EOFError, ValueError, _Undecodable):
            for piece in _pieces(coding, body, lambda _: None):
                plain += piece
                if len(plain) >= BEGINNING_BYTES:
                    break
        body = bytes(plain[:BEGINNING_BYTES])
    return body


def _pieces(coding: str, data: bytes, note: _Note) -> Iterator[bytes]:
    """Decode one coding. Raises EOFError for truncated data and ValueError for invalid data.

    Empty data is valid in every coding, as in curl: responses to HEAD and with status 304 name codings without data.
    """
    if not data:
        return iter(())
    match coding:
        case "gzip" | "x-gzip":
            return _gzip_pieces(data, note)
        case "deflate":
            return _deflate_pieces(data, note)
        case "br":
            return _brotli_pieces(data, note)
        case "zstd":
            return _zstd_pieces(data, note)
        case _:
            raise _Undecodable(f"the content coding {coding[:40]!a} is not supported")


def _gzip_pieces(data: bytes, note: _Note) -> Iterator[bytes]:
    """Decode all members of a gzip file (RFC 1952, section 2.2). The zlib format is accepted too."""
    if _is_zlib(data):
        note(Deviation.COMPRESSION_MISNAMED)
        yield from _deflate_pieces(data, note)
        return
    at = members = 0
    while data.startswith(_GZIP_MAGIC, at):
        at = yield from _inflated(data, at, 16 + zlib.MAX_WBITS)
        members += 1
        if members % MEMBERS_AT_ONCE == 0:
            yield b""
    if not members:
        raise ValueError
    if at < len(data):
        note(Deviation.BYTES_AFTER_COMPRESSED)


def _deflate_pieces(data: bytes, note: _Note) -> Iterator[bytes]:
    """Decode the zlib format, or raw deflate data, which some servers send (RFC 9110, section 8.4.1.2)."""
    if data.startswith(_GZIP_MAGIC):
        note(Deviation.COMPRESSION_MISNAMED)
        yield from _gzip_pieces(data, note)
        return
    is_zlib = _is_zlib(data)
    if not is_zlib:
        note(Deviation.RAW_DEFLATE)
    at = yield from _inflated(data, 0, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    if at < len(data):
        note(Deviation.BYTES_AFTER_COMPRESSED)


def _is_zlib(data: bytes) -> bool:
    """Return whether the data begins with a zlib header (RFC 1950, section 2.2)."""
    return data[0] & 0x0F == _DEFLATE and int.from_bytes(data[:2]) % 31 == 0


def _inflated(data: bytes, at: int, wbits: int) -> Generator[bytes, None, int]:
    """Yield the content of one stream, and return the offset of its end in `data`."""
    decompressor = zlib.decompressobj(wbits)
    pending = b""
    while not decompressor.eof:
        if not pending:
            pending = data[at : at + INPUT_BYTES]
            at += len(pending)
        is_last = not pending
        try:
            piece = decompressor.decompress(pending, PIECE_BYTES)
        except zlib.error:
            raise ValueError from None
        pending = decompressor.unconsumed_tail
        if is_last and not piece and not decompressor.eof:
            raise EOFError
        yield piece
    return at - len(pending) - len(decompressor.unused_data)


def _brotli_pieces(data: bytes, note: _Note) -> Iterator[bytes]:
    try:
        import brotli  # noqa: PLC0415 - the package only recommends it, and few responses need it
    except ImportError:
        raise _missing("br", "python3-brotli") from None
    decompressor = brotli.Decompressor()
    is_finished = False
    for at in range(0, len(data), BROTLI_INPUT_BYTES):
        if is_finished:
            note(Deviation.BYTES_AFTER_COMPRESSED)
            return
        try:
            piece = decompressor.process(data[at : at + BROTLI_INPUT_BYTES])
        except brotli.error:
            raise ValueError from None
        is_finished = decompressor.is_finished()
        if piece or at % INPUT_BYTES == 0:
            yield piece
    if not is_finished:
        raise EOFError


def _zstd_pieces(data: bytes, note: _Note) -> Iterator[bytes]:
    """Decode all frames (RFC 8878, section 3.1)."""
    try:
        import zstandard  # noqa: PLC0415 - the package only suggests it, and few responses need it
    except ImportError:
        raise _missing("zstd", "python3-zstandard") from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    at, is_open = 0, True
    while at < len(data):
        if not is_open:
            if not data.startswith(_ZSTD_MAGIC, at):
                note(Deviation.BYTES_AFTER_COMPRESSED)
                return
            frame, is_open = decompressor.decompressobj(), True
        block = data[at : at + ZSTD_INPUT_BYTES]
        try:
            piece = frame.decompress(block)
        except zstandard.ZstdError:
            raise ValueError from None
        at += len(block)
        if frame.eof:
            at -= len(frame.unused_data)
            is_open = False
        if piece or at % INPUT_BYTES < ZSTD_INPUT_BYTES:
            yield piece
    if is_open:
        raise EOFError


def _missing(coding: str, package: str) -> _Undecodable:
    return _Undecodable(f"the body is compressed with {coding}; install {package} to read it")
