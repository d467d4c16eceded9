"""ETag and conditional GET (RFC 9110, section 13) for answers that are whole: a client that has the bytes gets 304.

Tags are strong: from the content, unless the answer bears one that changes with it.
"""

import hashlib

from monitord.web import Handler, HTTPNotModified, Request, Response, StreamResponse

# What a 304 repeats of the answer that it stands for: in a cache its fields take the place of those that were kept
# (RFC 9111 section 4.3.4), so what allows pages elsewhere to show a badge is among them.
_KEPT = ("ETag", "Cache-Control", "Vary", "Cross-Origin-Resource-Policy")


async def conditional_get(request: Request, handler: Handler) -> StreamResponse:
    """A middleware."""
    response = await handler(request)
    if request.method not in {"GET", "HEAD"} or not isinstance(response, Response) or response.status != 200:  # noqa: PLR2004
        return response
    if "ETag" not in response.headers:
        response.headers["ETag"] = tag_of(response.body)
    response.headers.setdefault("Cache-Control", "no-cache")
    wanted = request.headers.getall("If-None-Match", ())
    if wanted and is_among(response.headers["ETag"], ", ".join(wanted)):
        return HTTPNotModified(
            headers={name: response.headers[name] for name in _KEPT if name in response.headers}
        )
    return response


def tag_of(content: bytes) -> str:
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def is_among(tag: str, wanted: str) -> bool:
    """Whether a list of tags holds this one. The comparison is the weak one, as a GET wants it (section 13.1.2)."""
    return wanted.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in wanted.split(",")}
