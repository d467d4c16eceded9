"""monitorctl's end of the status socket: HTTP over a Unix socket or over TCP, with errors that tell the fix."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from monitord.errors import ControlError
from monitord.text import plain

API = "/api/v1"

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
PIECE_BYTES = 65536

_AS_WRITTEN = "surrogateescape"
"""Bytes of the command line that are no text are asked for as they are: it is the daemon that says so."""

Params = Sequence[tuple[str, object]]


class DaemonUnreachableError(ControlError):
    """Nobody answers at the socket, or we may not open it."""


class RefusedError(ControlError):
    """The daemon answered, and said no. `status` is the HTTP status, `answer` the decoded body."""

    def __init__(self, message: str, status: int, answer: Any, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Place:
    """Where the daemon listens: a socket in the file system, or at `url`, with the token that allows changes there."""

    path: Path
    url: str | None = None
    token: str | None = None

    def __str__(self) -> str:
        return str(self.path if self.url is None else self.url)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(min(CONNECT_TIMEOUT_S, self.timeout or CONNECT_TIMEOUT_S))
        self.sock.connect(str(self._path))
        self.sock.settimeout(self.timeout)


class Client:
    """Asks the daemon at one place. Every request has a connection of its own."""

    def __init__(self, place: Path | Place, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.place = place if isinstance(place, Place) else Place(place)
        self._timeout_s = timeout_s

    def get(self, target: str, params: Params = (), *, timeout_s: float | None = None) -> Any:
        return self._ask("GET", with_query(target, params), timeout_s)

    def post(
        self, target: str, document: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        return self._ask("POST", target, timeout_s, document)

    def delete(self, target: str) -> Any:
        return self._ask("DELETE", target, None)

    def stream(
        self,
        target: str,
        params: Params = (),
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[bytes]:
        """An answer piece by piece, as it comes; each may take `timeout_s`. Asks when the first one is wanted."""
        with contextlib.closing(self._connection(timeout_s)) as connection:
            with self._telling():
                response = self._sent(connection, "GET", with_query(target, params), None, headers or {})
                if response.status >= http.client.MULTIPLE_CHOICES:
                    raise self._refused(response, response.read())
            while True:
                with self._telling():
                    piece = response.read1(PIECE_BYTES)
                if not piece:
                    return
                yield piece

    def _ask(
        self,
        method: str,
        target: str,
        timeout_s: float | None,
        document: Mapping[str, Any] | None = None,
    ) -> Any:
        headers = {"Accept": "application/json"}
        with contextlib.closing(self._connection(timeout_s)) as connection, self._telling():
            response = self._sent(connection, method, target, document, headers)
            body = response.read()
        if response.status >= http.client.MULTIPLE_CHOICES:
            raise self._refused(response, body)
        answer = _decode(body, response.getheader("Content-Type", ""))
        if answer is None or (isinstance(answer, str) and body and target.startswith(API)):
            raise self._not_ours(response)
        return answer

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        document: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        sent, fields = None, dict(headers)
        if document is not None:
            fields["Content-Type"] = "application/json"
            sent = json.dumps(document).encode()
        if self.place.token is not None:
            fields["Authorization"] = f"Bearer {self.place.token}"
        prefix = "" if self.place.url is None else urlsplit(self.place.url).path.rstrip("/")
        # A daemon with too many clients answers before it has read, and closes: its answer is what counts.
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, prefix + target, sent, fields)
        return connection.getresponse()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong on the way is told in words that say what to do."""
        try:
            yield
        except OSError as error:
            raise _unreachable(self.place, error) from error
        except http.client.IncompleteRead as error:
            raise ControlError(
                f"{self.place}: the answer ended before it was complete",
                hint="see: journalctl -u monitord -e",
            ) from error
        except http.client.HTTPException as error:
            raise ControlError(
                f"{self.place}: the answer is not HTTP ({error!r}); is this monitord's socket?"
            ) from error

    def _connection(self, timeout_s: float | None) -> http.client.HTTPConnection:
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        if self.place.url is None:
            return _UnixConnection(self.place.path, wait_s)
        parts = urlsplit(self.place.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=wait_s)

    def _refused(self, response: http.client.HTTPResponse, body: bytes) -> ControlError:
        answer = _decode(body, response.getheader("Content-Type", ""))
        if answer is None:
            return self._not_ours(response)
        said = answer if isinstance(answer, str) else answer.get("detail") or answer.get("title") or ""
        message = "\n".join(map(plain, str(said).strip().splitlines())) or plain(response.reason)
        if response.getheader("Monitord-Start") == "refused":
            return DaemonUnreachableError(f"{message}\nmend it, then: systemctl start monitord")
        return RefusedError(message, response.status, answer, hint=self._hint(response.status))

    def _not_ours(self, response: http.client.HTTPResponse) -> ControlError:
        return ControlError(
            f"{self.place}: the answer ({response.status} {plain(response.reason)}) is not monitord's; "
            "is this monitord's socket?"
        )

    def _hint(self, status: int) -> str:
        if status == http.client.FORBIDDEN and self.place.url is None:
            return "try it with sudo, or: adduser YOU monitord"
        if status == http.client.UNAUTHORIZED:
            return "name a file that holds the token with --token-file"
        return ""


def target_of(*parts: str) -> str:
    """A path from its parts, each quoted whole."""
    return "/" + "/".join(quote(part, safe="", errors=_AS_WRITTEN) for part in parts)


def with_query(target: str, params: Params) -> str:
    return f"{target}?{urlencode(params, errors=_AS_WRITTEN)}" if params else target


def _decode(body: bytes, content_type: str) -> dict[str, Any] | str | None:
    """An object, or text; None for what monitord never says. No body is no text."""
    kind = content_type.split(";", maxsplit=1)[0].strip()
    if kind in {"application/json", "application/problem+json"}:
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        return answer if isinstance(answer, dict) else None
    return body.decode(errors="replace") if kind == "text/plain" or not body else None


def _unreachable(place: Place, error: OSError) -> ControlError:
    if isinstance(error, PermissionError):
        what = "permission denied"
        hint = "root and members of group monitord may open it: adduser YOU monitord"
    elif isinstance(error, TimeoutError):
        what, hint = "the daemon does not answer", "see: journalctl -u monitord -e"
    elif isinstance(error, ConnectionResetError):
        what, hint = "the connection was lost", "see: journalctl -u monitord -e"
    elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
        what = "no daemon listens there"
        hint = (
            "systemctl start monitord, or name its socket with --socket"
            if place.url is None
            else "it listens over TCP where [status] says listen"
        )
    else:
        what, hint = error.strerror or str(error), ""
    return DaemonUnreachableError(f"{place}: {what}", hint=hint)
