"""Targets of an HTTP server: JSON in the format of Prometheus (http_sd)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.net import HttpExchange, parse_target
from monitord.options.http import HttpOptions, read_options, secrets_of, shown_url
from monitord.options.masking import Masking
from monitord.sources.discovery.source import Fetcher, FetchError
from monitord.sources.discovery.targets import MAX_INPUT_BYTES, DiscoveredTarget, parse_groups
from monitord.sources.pacing import Pacer

HTTP_OK = 200


class HttpFetcher(Fetcher[HttpOptions]):
    default_refresh_s: ClassVar[float] = 60.0

    @classmethod
    def read_options(cls, table: Table) -> HttpOptions:
        options = read_options(table)
        limit = min(options.max_body_bytes or MAX_INPUT_BYTES, MAX_INPUT_BYTES)
        return replace(options, max_body_bytes=limit)

    async def fetch(self) -> bytes | None:
        request = self.options.request(read_body=True)
        if not any(name.lower() == "accept" for name, _ in request.headers):
            request = replace(request, headers=(*request.headers, ("Accept", "application/json")))
        masking = Masking(secrets_of(self.options))
        deadline = self.tools.clock.monotonic_s() + self.timeout_s
        outcome = await self.tools.http.fetch(request, deadline=deadline)
        if not isinstance(outcome, HttpExchange):
            raise FetchError(masking.mask(f"{self._url()}: {outcome.detail}"))
        if outcome.status != HTTP_OK:
            raise FetchError(masking.mask(f"{self._url()}: HTTP {outcome.status}"))
        if outcome.body is None:
            problem = outcome.body_problem or "the response has no body"
            raise FetchError(masking.mask(f"{self._url()}: {problem}"))
        return outcome.body

    def parse(self, content: bytes, pacer: Pacer) -> Iterator[DiscoveredTarget]:
        url = self._url()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidValueError(f"{url}: the response is not UTF-8 text") from None
        try:
            for target in parse_groups(text, pacer.pause):
                yield replace(target, labels={**target.labels, "__meta_url": url})
        except InvalidValueError as error:
            raise InvalidValueError(f"{url}: the response {error.problem}", error.hint) from None

    def _url(self) -> str:
        """The URL without secrets."""
        return shown_url(parse_target(self.options.url.reveal())[0], is_secret=self.options.is_url_secret)
