"""Conditional GET (RFC 9110, section 13): a client that has the current content gets 304.

Entity tags are strong: a hash of the content, unless the handler has set another tag that changes with it.
"""

import hashlib

from monitord.web import Handler, HTTPNotModified, Request, Response, StreamResponse

# Fields that a 304 repeats: in a cache they replace the stored fields (RFC 9111 section 4.3.4), so the field that
# allows other sites to show a badge is among them.
_REPEATED = ("ETag", "Cache-Control", "Vary", "Cross-Origin-Resource-Policy")


async def conditional_get(request: Request, handler: Handler) -> StreamResponse:
    """Respond with 304 if the client has the content. A middleware."""
    response = await handler(request)
    if request.method not in {"GET", "HEAD"} or not isinstance(response, Response) or response.status != 200:  # noqa: PLR2004
        return response
    if "ETag" not in response.headers:
        response.headers["ETag"] = tag_of(response.body)
    response.headers.setdefault("Cache-Control", "no-cache")
    if_none_match = request.headers.getall("If-None-Match", ())
    if if_none_match and is_among(response.headers["ETag"], ", ".join(if_none_match)):
        return HTTPNotModified(
            headers={name: response.headers[name] for name in _REPEATED if name in response.headers}
        )
    return response


def tag_of(content: bytes) -> str:
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def is_among(tag: str, if_none_match: str) -> bool:
    """Whether the tag is in a list such as If-None-Match. Weak comparison, as for GET (section 13.1.2)."""
    return if_none_match.strip() == "*" or tag in {
        item.strip().removeprefix("W/") for item in if_none_match.split(",")
    }
