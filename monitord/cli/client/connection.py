"""HTTP requests to the daemon, over its Unix socket or over TCP. The errors contain a correction."""

import contextlib
import http.client
import json
import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from monitord import paths
from monitord.errors import ControlError
from monitord.text import plain

API = "/api/v1"

CONNECT_TIMEOUT_S = 5.0
RESPONSE_TIMEOUT_S = 10.0
READ_SIZE_BYTES = 65536

_QUOTE_ERRORS = "surrogateescape"
"""Bytes of the command line that are not text are sent unchanged, and the daemon reports that the name is unknown."""

_COMMANDS = {"monitors": "status", "silences": "silences", "notifiers": "notifiers", "posts": "posts"}
"""The command that lists the same objects as `GET /…` in a hint of the daemon."""

_OPTIONS = {
    "names": "",
    "patterns": "",
    "tags": "",
    "duration_s": "--for",
    "until": "--until",
    "comment": "--comment",
    "zone": "--zone",
}
"""The options that set keys of the API, "" for keys whose errors name the monitor, pattern or tag."""

_ACCESS_HINT = "run it as root, or run as root: adduser USER monitord, and log in again as that user"

CLAIM_HEADER = "Monitord-User"
"""As in `status.access.security`, which would be imported slowly."""

_LOG_HINT = "see: journalctl -u monitord -e"

Params = Sequence[tuple[str, object]]


class DaemonUnreachableError(ControlError):
    """The daemon cannot be reached, does not respond in time, or did not start."""


class HTTPStatusError(ControlError):
    """The daemon has responded with an error. `status`: the HTTP status. `document`: the decoded body."""

    def __init__(self, message: str, status: int, document: Any, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.document = document


@dataclass(frozen=True, slots=True)
class DaemonAddress:
    """The address of the daemon: a Unix socket, or `url` if given, with an API token, which is from `token_file`."""

    socket_path: Path
    url: str | None = None
    token: str | None = None
    token_file: Path | None = None

    def __str__(self) -> str:
        return str(self.socket_path if self.url is None else self.url)


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
    """A client of a daemon. Each request has its own connection."""

    def __init__(self, address: Path | DaemonAddress, *, timeout_s: float = RESPONSE_TIMEOUT_S) -> None:
        self.address = address if isinstance(address, DaemonAddress) else DaemonAddress(address)
        self._timeout_s = timeout_s

    def get(self, path: str, params: Params = (), *, timeout_s: float | None = None) -> Any:
        return self._request("GET", with_query(path, params), timeout_s)

    def post(
        self, path: str, document: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        return self._request("POST", path, timeout_s, document)

    def patch(self, path: str, document: Mapping[str, Any]) -> Any:
        return self._request("PATCH", path, None, document)

    def delete(self, path: str) -> Any:
        return self._request("DELETE", path, None)

    def stream(
        self,
        path: str,
        params: Params = (),
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[bytes]:
        """Yield a response in the pieces in which it arrives, with a timeout for each piece."""
        with contextlib.closing(self._connection(timeout_s)) as connection:
            with self._explaining_errors():
                response = self._send(connection, "GET", with_query(path, params), None, headers or {})
                if response.status >= http.client.MULTIPLE_CHOICES:
                    raise self._rejected(response, response.read())
            while True:
                with self._explaining_errors():
                    piece = response.read1(READ_SIZE_BYTES)
                if not piece:
                    return
                yield piece

    def _request(
        self,
        method: str,
        path: str,
        timeout_s: float | None,
        document: Mapping[str, Any] | None = None,
    ) -> Any:
        headers = {"Accept": "application/json"}
        with contextlib.closing(self._connection(timeout_s)) as connection, self._explaining_errors():
            response = self._send(connection, method, path, document, headers)
            body = response.read()
        if response.status >= http.client.MULTIPLE_CHOICES:
            raise self._rejected(response, body)
        decoded = _decode(body, response.getheader("Content-Type", ""))
        if decoded is None or (isinstance(decoded, str) and body and path.startswith(API)):
            raise self._unexpected_response(response)
        return decoded

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        document: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        body, fields = None, dict(headers)
        if document is not None:
            fields["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        if self.address.token is not None:
            fields["Authorization"] = f"Bearer {self.address.token}"
        elif self.address.url is None and method != "GET":
            # The daemon does not see the user of a member of its group (PrivateUsers= in monitord.service).
            with contextlib.suppress(KeyError):
                fields[CLAIM_HEADER] = pwd.getpwuid(os.getuid()).pw_name
        prefix = "" if self.address.url is None else urlsplit(self.address.url).path.rstrip("/")
        # A daemon with too many clients answers before it has read the request, and closes: read its response.
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, prefix + path, body, fields)
        return connection.getresponse()

    @contextlib.contextmanager
    def _explaining_errors(self) -> Iterator[None]:
        """Turn errors of the connection into ControlErrors."""
        try:
            yield
        except OSError as error:
            raise _unreachable(self.address, error) from error
        except http.client.IncompleteRead as error:
            raise ControlError(f"{self.address}: the response is incomplete", hint=_LOG_HINT) from error
        except http.client.HTTPException as error:
            raise ControlError(
                f"{self.address}: the response is not HTTP ({error!r}); check that this is the socket of monitord"
            ) from error

    def _connection(self, timeout_s: float | None) -> http.client.HTTPConnection:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if self.address.url is None:
            return _UnixConnection(self.address.socket_path, timeout_s)
        parts = urlsplit(self.address.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def _rejected(self, response: http.client.HTTPResponse, body: bytes) -> ControlError:
        decoded = _decode(body, response.getheader("Content-Type", ""))
        if decoded is None:
            return self._unexpected_response(response)
        if isinstance(decoded, str):
            text = decoded
        else:
            lines = []
            for error in decoded.get("errors") or ():
                # The keys of the API, replaced by the options that set them.
                option = _OPTIONS.get(error["parameter"], error["parameter"])
                hint = f"; {error['hint']}" if error["hint"] else ""
                lines.append(f"{option}{': ' if option else ''}{error['problem']}{hint}")
            text = "\n".join(lines) or str(decoded.get("detail") or decoded.get("title") or "")
        # "GET /api/v1/monitors lists …" is a hint for clients of the API.
        text = re.sub(
            rf"\bGET {API}/(monitors|silences|notifiers|posts) lists",
            lambda match: f"monitorctl {_COMMANDS[match[1]]} lists",
            text,
        )
        message = "\n".join(map(plain, text.strip().splitlines())) or plain(response.reason)
        if response.getheader("Monitord-Start") == "rejected":
            return DaemonUnreachableError(f"{message}\nfix it, then run: systemctl start monitord")
        hint = ""
        if response.status == http.client.FORBIDDEN and self.address.url is None:
            hint = _ACCESS_HINT
        elif response.status == http.client.UNAUTHORIZED and self.address.token is not None:
            message = f"{self.address.token_file}: the daemon does not accept this token"
            hint = "compare it with the tokens in [status.tokens.NAME] of the daemon"
        elif response.status == http.client.UNAUTHORIZED:
            message, hint = f"{self.address}: changes require a token", "pass its file with --token-file"
        return HTTPStatusError(message, response.status, decoded, hint=hint)

    def _unexpected_response(self, response: http.client.HTTPResponse) -> ControlError:
        return ControlError(
            f"{self.address}: the response ({response.status} {plain(response.reason)}) is not from monitord; "
            "check that this is the address of monitord"
        )


def path_of(*parts: str) -> str:
    """Join the segments of a path, each of them quoted."""
    return "/" + "/".join(quote(part, safe="", errors=_QUOTE_ERRORS) for part in parts)


def with_query(path: str, params: Params) -> str:
    return f"{path}?{urlencode(params, errors=_QUOTE_ERRORS)}" if params else path


def _decode(body: bytes, content_type: str) -> dict[str, Any] | str | None:
    """Return an object, or text, which is empty without a body; None for content that monitord does not send."""
    kind = content_type.split(";", maxsplit=1)[0].strip()
    if kind in {"application/json", "application/problem+json"}:
        try:
            document = json.loads(body)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None
    return body.decode(errors="replace") if kind == "text/plain" or not body else None


def _unreachable(address: DaemonAddress, error: OSError) -> ControlError:
    match error:
        case PermissionError():
            problem, hint = "permission denied", _ACCESS_HINT
        case TimeoutError():
            problem, hint = "the daemon does not respond", _LOG_HINT
        case ConnectionResetError():
            problem, hint = "the connection was closed by the daemon", _LOG_HINT
        case FileNotFoundError() | ConnectionRefusedError():
            reason = error.strerror or str(error)
            if address.url is not None:
                problem, hint = reason, "correct --url: it must be an address in listen= of [status]"
            elif address.socket_path == paths.SYSTEM_SOCKET:
                problem, hint = f"monitord is not running ({reason})", "run: systemctl start monitord"
            else:
                problem, hint = reason, "correct --socket, or start the daemon that creates this socket"
        case _:
            problem, hint = error.strerror or str(error), ""
    return DaemonUnreachableError(f"{address}: {problem}", hint=hint)
