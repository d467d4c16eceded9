"""Export of the stored history of a monitor as CSV or JSON lines, streamed while it is read.

The structures are those of `results` and `series`; in CSV each number has a column.
"""

import contextlib
import csv
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from monitord.history import History
from monitord.history.encoding import PHASES
from monitord.model import Json, State, Verdict
from monitord.status.access.problems import find_monitor
from monitord.status.api.history import bucket_of, stored_of
from monitord.status.api.openapi import ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryParameter, QueryValues, choice, single
from monitord.status.model.read_model import ReadModel
from monitord.web import Request, StreamResponse

FORMATS = {"csv": "text/csv; charset=utf-8; header=present", "jsonl": "application/x-ndjson"}
STEPS_S = {"minute": 60, "hour": 3600, "day": 86400}

ROWS_AT_ONCE = 100
"""Rows of one piece. Between two pieces, the event loop runs other tasks."""

FORMAT = single(
    "format",
    choice(tuple(FORMATS)),
    "jsonl",
    {"type": "string", "enum": list(FORMATS), "default": "jsonl"},
    "The format: JSON lines, or CSV with a header line.",
)
BUCKETS: QueryParameter[str | None] = single(
    "buckets",
    choice(tuple(STEPS_S)),
    None,
    {"type": "string", "enum": list(STEPS_S)},
    "Export rollups of each minute, hour or day instead of results. Rollups are stored for longer.",
)

_RESULT_COLUMNS = (
    "started_at",
    "verdict",
    "state",
    "reason",
    "duration_s",
    *(f"phases_s.{phase}" for phase in PHASES),
    "detail",
)
_BUCKET_COLUMNS = (
    "from",
    *(f"checks.{verdict.value}" for verdict in Verdict),
    *(f"seconds.{health.value}" for health in State),
    "maintenance_s",
    *(f"response_time_s.{key}" for key in ("count", "min", "mean", "max", "p50", "p95", "p99")),
    *(f"phases_s.{phase}" for phase in PHASES),
)

_FORMULA = re.compile(r"[=+\-@\t\r]")
# The name of a unit can contain a backslash and colons.
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._@-]")


class ExportApi:
    """Handler of the endpoint."""

    def __init__(self, model: ReadModel, history: History) -> None:
        self._model = model
        self._history = history

    async def export(self, request: Request, query: QueryValues) -> StreamResponse:
        with find_monitor(request) as name:
            self._model.registry.entries[name]
        file_format, buckets = query[FORMAT], query[BUCKETS]
        rows = (
            (stored_of(stored) async for stored in self._history.export(name))
            if buckets is None
            else (bucket_of(bucket) async for bucket in self._history.export_buckets(name, STEPS_S[buckets]))
        )
        write: Callable[[list[Json]], bytes] = _lines
        head = b""
        if file_format == "csv":
            columns = _RESULT_COLUMNS if buckets is None else _BUCKET_COLUMNS
            head = _csv([list(columns)])

            def write(rows: list[Json]) -> bytes:
                return _csv([[row.get(column) for column in columns] for row in map(_flat, rows)])

        pieces = _pieces(rows, write)
        # If the first read fails, the status is 503; later failures abort the connection.
        first = await anext(pieces, b"")
        file_name = f"{_NOT_IN_FILE_NAMES.sub('_', name)}.{buckets or 'results'}.{file_format}"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"', "Cache-Control": "no-store"}
        return StreamResponse(
            _joined(head + first, pieces), headers=headers, content_type=FORMATS[file_format]
        )


async def _pieces(
    rows: AsyncIterator[Json], write: Callable[[list[Json]], bytes]
) -> AsyncGenerator[bytes, None]:
    piece: list[Json] = []
    async for row in rows:
        piece.append(row)
        if len(piece) == ROWS_AT_ONCE:
            yield write(piece)
            piece = []
    if piece:
        yield write(piece)


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece


def _lines(rows: list[Json]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _csv(rows: list[list[Any]]) -> bytes:
    """The rows as CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": number for key, number in value.items()}
        elif name == "detail" and isinstance(value, str) and _FORMULA.match(value):
            # It can come from the target, and a spreadsheet would evaluate it.
            flat[name] = f"'{value}"
        else:
            flat[name] = value
    return flat


def export_endpoint(model: ReadModel, history: History) -> ApiEndpoint:
    return ApiEndpoint(
        "GET",
        "/monitors/{name}/export",
        ExportApi(model, history).export,
        "exportHistory",
        "History",
        "Export the history of a monitor",
        "Streams all stored results, or with `buckets` their rollups, oldest first.",
        {
            200: ResponseSpec(
                "One line for each result or bucket.", "Lines", FORMATS["jsonl"], (FORMATS["csv"],)
            )
        },
        parameters=(FORMAT, BUCKETS),
        problems=[503],
    )
