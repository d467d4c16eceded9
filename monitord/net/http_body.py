"""The body of a response: received to its end, counted, bounded, and unpacked if it is wanted."""

import asyncio
import zlib
from dataclasses import replace
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from monitord.net.faults import FaultKind
from monitord.net.http_outcome import CUT_SHORT, Ended, HttpExchange, Progress
from monitord.net.http_request import HttpRequest
from monitord.net.phases import Phase

BEGINNING_BYTES = 4096
"""Kept of a body that nobody wants to see, until it is known that nobody does."""
BEGINNING_WITHIN_S = 1.0
"""How long the beginning of a body is waited for where the status line decides."""


async def receive(request: HttpRequest, response: aiohttp.ClientResponse, progress: Progress) -> HttpExchange:
    progress.timer.enter(Phase.TRANSFER)
    pieces, size = await _read(request, response, progress)
    received, encoding = b"".join(pieces), response.headers.get("Content-Encoding", "")
    body = _decoded(received, encoding, request.max_body_bytes) if request.read_body else None
    beginning = _beginning(received, encoding) if body is None else body[:BEGINNING_BYTES]
    return _exchange(request, response, progress, body, beginning, size)


async def receive_beginning(
    request: HttpRequest, response: aiohttp.ClientResponse, progress: Progress
) -> HttpExchange:
    """The response by its head, with what comes of the body within bounds. Nothing in the body is a failure."""
    progress.timer.enter(Phase.TRANSFER)
    by_head = _exchange(request, response, progress, None, b"", 0)
    received = bytearray()
    reading = asyncio.ensure_future(_read_beginning(response, received))
    watched: list[asyncio.Future[Any]] = [reading]
    if progress.protocol is not None and not response.content.is_eof():
        watched.append(asyncio.ensure_future(progress.protocol.read()))  # see `_read`
    try:
        await asyncio.wait(watched, timeout=BEGINNING_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in watched:
            one.cancel()
        await asyncio.gather(*watched, return_exceptions=True)
    beginning = _beginning(bytes(received), response.headers.get("Content-Encoding", ""))
    return replace(by_head, beginning=beginning, body_bytes=len(received))


async def _read_beginning(response: aiohttp.ClientResponse, received: bytearray) -> None:
    while len(received) < BEGINNING_BYTES and (piece := await response.content.readany()):
        received += piece


def _exchange(
    request: HttpRequest,
    response: aiohttp.ClientResponse,
    progress: Progress,
    body: bytes | None,
    beginning: bytes,
    size: int,
) -> HttpExchange:
    phases = dict.fromkeys(Phase, 0.0) | progress.timer.read()
    duration_s = progress.timer.elapsed_s()
    version = response.version
    return HttpExchange(
        status=response.status,
        reason_phrase=response.reason or "",
        headers=response.headers,
        http_version=f"{version.major}.{version.minor}" if version is not None else "",
        body=body,
        beginning=beginning,
        body_bytes=size,
        redirects=progress.redirects,
        address=progress.address or "",
        ip_version=progress.ip_version,
        phases=phases,
        duration_s=duration_s,
        tls=progress.tls_facts(certificate=request.want_certificate),
        target=progress.target,
        hops=progress.hops,
    )


async def _read(
    request: HttpRequest, response: aiohttp.ClientResponse, progress: Progress
) -> tuple[list[bytes], int]:
    """The pieces of the body, or of its beginning if no more is wanted, and its size."""
    if response.content.is_eof() or progress.protocol is None:  # it came together with the head
        return await _read_pieces(request, response)
    # A body that breaks the rules of framing ends in aiohttp's protocol, and the reader of the body never hears of
    # it (3.8 to 3.14); so the protocol is listened to as well, by asking it for another response.
    reading = asyncio.ensure_future(_read_pieces(request, response))
    listening = asyncio.ensure_future(progress.protocol.read())
    try:
        await asyncio.wait((reading, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and isinstance(listening.exception(), HttpProcessingError):
            raise Ended(FaultKind.PROTOCOL_ERROR, "the body is not framed as HTTP says")
        if not reading.done() and listening.exception() is not None:
            raise Ended(FaultKind.RESET, CUT_SHORT)
        return await reading
    finally:
        reading.cancel()
        listening.cancel()
        await asyncio.gather(reading, listening, return_exceptions=True)


async def _read_pieces(request: HttpRequest, response: aiohttp.ClientResponse) -> tuple[list[bytes], int]:
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        if request.read_body:
            pieces.append(piece)
        elif size < BEGINNING_BYTES:
            pieces.append(piece[: BEGINNING_BYTES - size])
        size += len(piece)
        if size > request.max_body_bytes:
            raise _too_large(request.max_body_bytes)
    return pieces, size


def _too_large(limit_bytes: int) -> Ended:
    return Ended(FaultKind.TOO_LARGE, f"the body is larger than {limit_bytes} bytes")


def _decoded(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """gzip and deflate unpacked, to the same limit; other encodings are left as they are."""
    if not _is_packed(encoding) or not body:
        return body
    unpack = _unpacker()
    try:
        plain = unpack.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise Ended(
            FaultKind.PROTOCOL_ERROR, f"the body is not {encoding.strip().lower()} as it says"
        ) from None
    if len(plain) > limit_bytes:
        raise _too_large(limit_bytes)
    if not unpack.eof:
        raise Ended(FaultKind.PROTOCOL_ERROR, "the compressed body ends too early")
    return plain


def _beginning(body: bytes, encoding: str) -> bytes:
    """Unpacked as far as it goes; nothing of what is not what it says."""
    if not _is_packed(encoding):
        return body
    try:
        return _unpacker().decompress(body, BEGINNING_BYTES)
    except zlib.error:
        return b""


def _is_packed(encoding: str) -> bool:
    return encoding.strip().lower() in {"gzip", "x-gzip", "deflate"}


def _unpacker() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # 32: gzip or zlib, by the first bytes
