"""Interventions are answered as done only when they are stored: a pause that a crash would undo is no success.

The intervention itself takes effect at once, whatever the disk does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from monitord.history import History
from monitord.status.api.openapi import Endpoint, Handler
from monitord.status.model.query import Query
from monitord.web import HTTPInsufficientStorage, Request, StreamResponse

STORED_WITHIN_S = 3.0


def stored_before_answer(endpoints: Iterable[Endpoint], history: History) -> Iterator[Endpoint]:
    """Make every endpoint that changes something wait for the history, and answer 507 if it does not store."""
    for endpoint in endpoints:
        if endpoint.method == "GET":
            yield endpoint
        else:
            yield replace(
                endpoint,
                handler=_waiting(endpoint.handler, history),
                problems=(*endpoint.problems, HTTPInsufficientStorage.status_code),
            )


def _waiting(handler: Handler, history: History) -> Handler:
    async def answer(request: Request, query: Query) -> StreamResponse:
        response = await handler(request, query)
        if await history.stored(STORED_WITHIN_S, durable=True):
            return response
        why = history.stats().failing or f"the storage has not answered within {STORED_WITHIN_S:.0f} s"
        raise HTTPInsufficientStorage(
            text=f"this is done and in effect, but it could not be stored ({why}): a restart would undo it; "
            "see the status of the history, and repeat the request when it is written again\n"
        )

    return answer
