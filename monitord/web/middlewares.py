"""Middlewares that any service wants."""

import asyncio
import logging
import time
from functools import partial

from .exceptions import HTTPException
from .request import Request
from .response import ClientGone, Response, StreamResponse
from .routing import Handler

access_logger = logging.getLogger("monitord.web.access")


async def access_log(request: Request, handler: Handler) -> StreamResponse:
    """One line for each request; its parts are attributes of the log record as well, for structured logs.

    What is sent in pieces is logged when that has ended: a file may turn out to be missing, and a client may leave.
    """
    if not access_logger.isEnabledFor(logging.INFO):
        return await handler(request)
    peer = request.peer  # asked for now, as it may be gone later
    client = peer.address if peer.uid is None else f"uid {peer.uid}"
    log = partial(_log, request, client, time.perf_counter())
    try:
        response = await handler(request)
    except BaseException as error:
        log(error)
        raise
    if isinstance(response, Response):
        log(None, response.status)
    else:
        request.exchange.on_end = log
    return response


def _log(
    request: Request, client: str | None, began_s: float, error: BaseException | None, status: int = 500
) -> None:
    begun = request.begun
    if begun is not None and begun.response is not None:
        status = begun.response.status  # its head is out, whatever happened then
    elif isinstance(error, HTTPException):
        status = error.status
    elif isinstance(error, asyncio.CancelledError | ClientGone):
        status = 499  # as nginx logs it: nobody was answered
    duration_s = time.perf_counter() - began_s
    access_logger.info(
        "%s %s %s %d %.3f s", client or "-", request.method, request.raw_path, status, duration_s,
        extra={"http_method": request.method, "http_path": request.raw_path, "http_status": status,
               "http_client": client, "duration_s": duration_s},
    )  # fmt: skip
