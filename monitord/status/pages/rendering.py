"""Templates and static files of the package, loaded in a thread with the first request for a page.

A daemon without such requests does not load them, and checks continue while they are loaded.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from monitord import __version__
from monitord.clock import TIME_IN_TEXT
from monitord.status.pages import wording
from monitord.status.pages.charts import Svg

CONTENT_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """`digest` is part of the URL, so that clients can cache the file forever, and load it again when it changes."""

    body: bytes
    content_type: str
    digest: str


class Rendering:
    """Renders all pages, with autoescape."""

    def __init__(self) -> None:
        self._environment: Any = None
        self._static: Mapping[str, StaticFile] = {}
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Read and compile everything. Must have been awaited before `render`; may be called again."""
        async with self._loading:
            if self._environment is None:
                self._static, self._environment = await asyncio.to_thread(_load)

    async def static(self, name: str) -> StaticFile | None:
        await self.load()
        return self._static.get(name)

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """A page or a part of one."""
        if self._environment is None:
            raise RuntimeError("load() comes before render()")
        page: str = self._environment.get_template(template).render(values)
        return page


def _load() -> tuple[Mapping[str, StaticFile], Any]:
    # Imported here, on the thread: it takes a twentieth of the CPU time of a start, and 1.4 MiB.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    static: dict[str, StaticFile] = {}
    for name, content_type in CONTENT_TYPES.items():
        body = files("monitord.status.pages").joinpath("static", name).read_bytes()
        static[name] = StaticFile(body, content_type, hashlib.sha256(body).hexdigest()[:12])
    environment = Environment(
        loader=PackageLoader("monitord.status.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(
        version=__version__, static={name: f"static/{name}?v={file.digest}" for name, file in static.items()}
    )
    for word in (
        "percent",
        "seconds",
        "span",
        "size",
        "number",
        "several",
        "machine_time",
        "moment",
        "clock",
        "day",
    ):
        environment.filters[word] = getattr(wording, word)
    environment.filters["with_times"] = with_times
    for name in environment.list_templates():
        environment.get_template(name)
    return static, environment


def with_times(text: str) -> Svg:
    """A text of the daemon as HTML, with an element for each time (`clock.time_text`): pages show their own zone."""
    return Svg(TIME_IN_TEXT.sub(r'<time datetime="\1T\2Z">\1 \2 UTC</time>', escape(text)))
