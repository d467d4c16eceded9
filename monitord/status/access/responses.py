"""JSON responses, with an entity tag if several clients receive them."""

import json
from collections.abc import Mapping

from monitord.conditional_requests import tag_of
from monitord.web import Response


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def compact_json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The value as JSON; bytes are JSON already."""
    body = value if isinstance(value, bytes) else encode(value)
    return Response(body=body, status=status, headers=headers, content_type="application/json")


def cacheable_response(body: bytes) -> Response:
    """JSON with its entity tag, to be sent to several clients."""
    return compact_json_response(body, headers={"ETag": tag_of(body), "Cache-Control": "no-cache"})
