"""Answers as bytes that are made once for many who ask, so that reading costs the checks nothing.

Each monitor's JSON is kept until something that it shows has been replaced. An answer is put together from these at
most ten times a second, and at once after something was asked of the daemon: who changes something sees it in what he
reads next.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from monitord.clock import Clock
from monitord.dispatch import Dispatcher, Watched
from monitord.model import WORST_FIRST, State
from monitord.status.access.conditional import tag_of
from monitord.status.model.snapshot import Shown, brief_of, shown_of
from monitord.web import Response

RENDER_EVERY_S = 0.1

_PLACES = {health: place for place, health in enumerate(WORST_FIRST)}


def encode(value: object) -> bytes:
    """JSON without blanks, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as JSON; bytes are JSON already."""
    body = value if isinstance(value, bytes) else encode(value)
    return Response(body=body, status=status, headers=headers, content_type="application/json")


def cacheable_answer(body: bytes) -> Response:
    """JSON with its tag, for many who ask."""
    return json_answer(body, headers={"ETag": tag_of(body), "Cache-Control": "no-cache"})


@dataclass(frozen=True, slots=True)
class Fragment:
    """One monitor in brief."""

    shown: Shown
    text: bytes

    @property
    def name(self) -> str:
        return self.shown.monitor.settings.name

    @property
    def health(self) -> State:
        return self.shown.stands


class Fragments:
    """Every monitor in brief. `revision` rises whenever one of them is found changed, new or gone."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._looked_at = float("-inf")
        self._kept: dict[str, Fragment] = {}
        self.revision = 0

    def outdate(self) -> None:
        """What is known now is to be seen at the next look."""
        self._looked_at = float("-inf")

    def look(self) -> dict[str, Fragment]:
        """As they are, or were `RENDER_EVERY_S` ago, in the order of the configuration. To be read only."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_at < RENDER_EVERY_S:
            return self._kept
        self._looked_at = now_s
        watched = self._dispatcher.watched
        kept = self._kept
        registry, now = self._dispatcher.registry, self._clock.now()
        has_changed = kept.keys() != watched.keys()
        fresh: dict[str, Fragment] = {}
        for name, one in watched.items():
            shown = shown_of(one, registry.silence_of(one, now))
            fragment = kept.get(name)
            if fragment is None or fragment.shown != shown:
                fragment = Fragment(shown, encode(brief_of(shown)))
                has_changed = True
            fresh[name] = fragment
        if has_changed:
            self.revision += 1
        self._kept = fresh
        return fresh

    def of(self, watched: Watched) -> bytes:
        """One of them, from the store where it is there."""
        shown = shown_of(watched, self._dispatcher.registry.silence_of(watched, self._clock.now()))
        fragment = self._kept.get(watched.name)
        return fragment.text if fragment is not None and fragment.shown == shown else encode(brief_of(shown))


class Rendered:
    """One answer, made again when somebody asks for it and the last one is older than `RENDER_EVERY_S`.

    `make` may return the very bytes of before, and then nothing else is done again either.
    """

    def __init__(self, make: Callable[[], bytes], clock: Clock) -> None:
        self._make = make
        self._clock = clock
        self._made_at = float("-inf")
        self._response = Response(body=b"")

    def outdate(self) -> None:
        """What is known now is to be seen in the next answer."""
        self._made_at = float("-inf")

    def response(self) -> Response:
        now_s = self._clock.monotonic_s()
        if now_s - self._made_at >= RENDER_EVERY_S:
            body = self._make()
            if body is not self._response.body:
                self._response = cacheable_answer(body)
            self._made_at = now_s
        return self._response


class WorstFirst:
    """All monitors in one answer, the worst first, then by name."""

    def __init__(self, fragments: Fragments) -> None:
        self._fragments = fragments
        self._revision = -1
        self._body = b""

    def __call__(self) -> bytes:
        fragments = self._fragments.look()
        if self._fragments.revision != self._revision:
            self._revision = self._fragments.revision
            self._body = b'{"monitors":[' + b",".join(_worst_first(fragments)) + b"]}"
        return self._body


def _worst_first(fragments: dict[str, Fragment]) -> Iterator[bytes]:
    for fragment in sorted(fragments.values(), key=lambda one: (_PLACES[one.health], one.name)):
        yield fragment.text
