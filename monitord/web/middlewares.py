"""Middlewares that any service wants."""

import asyncio
import logging
import time

from .exceptions import HTTPException
from .request import Request
from .response import ClientGone, StreamResponse
from .routing import Handler

access_logger = logging.getLogger("monitord.web.access")


async def access_log(request: Request, handler: Handler) -> StreamResponse:
    """One line for each request; its parts are attributes of the log record as well, for structured logs."""
    if not access_logger.isEnabledFor(logging.INFO):
        return await handler(request)
    began_s = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
    except HTTPException as error:
        status = error.status
        raise
    except (asyncio.CancelledError, ClientGone):
        status = 499  # as nginx logs it: nobody was answered
        raise
    finally:
        duration_s = time.perf_counter() - began_s
        peer = request.peer
        client = peer.address if peer.uid is None else f"uid {peer.uid}"
        access_logger.info(
            "%s %s %s %d %.3f s",
            client or "-",
            request.method,
            request.raw_path,
            status,
            duration_s,
            extra={"http_method": request.method, "http_path": request.raw_path, "http_status": status,
                   "http_client": client, "duration_s": duration_s},
        )  # fmt: skip
    return response
