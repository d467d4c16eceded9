"""Middlewares."""

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
    """Log each request, with its parts as attributes of the log record.

    A response that is sent in pieces is logged at its end: a file may be missing, and the client may disconnect.
    """
    if not access_logger.isEnabledFor(logging.INFO):
        return await handler(request)
    peer = request.peer  # before the client disconnects
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
    request: Request, client: str | None, started_s: float, error: BaseException | None, status: int = 500
) -> None:
    exchange = request.used_exchange
    if exchange is not None and exchange.response is not None:
        status = exchange.response.status  # the head has been sent
    elif isinstance(error, HTTPException):
        status = error.status
    elif isinstance(error, asyncio.CancelledError | ClientGone):
        status = 499  # as in nginx: the client disconnected before the response
    duration_s = time.perf_counter() - started_s
    access_logger.info(
        "%s %s %s %d %.3f s", client or "-", request.method, request.raw_path, status, duration_s,
        extra={"http_method": request.method, "http_path": request.raw_path, "http_status": status,
               "http_client": client, "duration_s": duration_s},
    )  # fmt: skip
