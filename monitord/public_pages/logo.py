"""The logo of a page: a file that is read with the configuration, limited in size, and whose type is checked."""

from dataclasses import dataclass
from pathlib import Path

from monitord.config import Table, value_text

MAX_LOGO_BYTES = 256 * 1024

SVG_TYPE = "image/svg+xml"


@dataclass(frozen=True, slots=True)
class Logo:
    """`file_name`: its path relative to the page."""

    file_name: str
    content_type: str
    body: bytes


def read_logo(table: Table, key: str) -> Logo | None:
    """Read the file whose path is the value of a key; None if there is no key, or the file is not a logo."""
    path = table.text(key, default=None)
    if path is None:
        return None
    if not path.startswith("/") or "\0" in path:
        table.error(key, "is not an absolute path", 'write a path such as "/etc/monitord/logo.svg"')
        return None
    try:
        with Path(path).open("rb") as file:
            body = file.read(MAX_LOGO_BYTES + 1)
    except PermissionError:
        table.unreadable(key, path)
        return None
    except OSError as error:
        problem = f"{value_text(path)} cannot be read: {error.strerror}"
        table.error(key, problem, "write the path of an image")
        return None
    if len(body) > MAX_LOGO_BYTES:
        table.error(key, f"is larger than {MAX_LOGO_BYTES // 1024} KiB", "use a smaller image")
    elif (image_type := _type_of(body)) is None:
        table.error(key, "is not an image", "use a file in the format SVG, PNG, JPEG or WebP")
    elif image_type[1] == SVG_TYPE and b"<script" in body.lower():
        # An exported page may be served without a Content-Security-Policy.
        table.error(key, "contains a script", "remove it from the image")
    else:
        return Logo(f"logo.{image_type[0]}", image_type[1], body)
    return None


def _type_of(body: bytes) -> tuple[str, str] | None:
    """Return the suffix and the media type of an image, by its first bytes; None if it has another format."""
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png", "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "jpg", "image/jpeg"
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return "webp", "image/webp"
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_svg = start.startswith((b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in body
    return ("svg", SVG_TYPE) if is_svg else None
