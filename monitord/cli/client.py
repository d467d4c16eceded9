"""monitorctl's end of the status socket: one HTTP request over a Unix socket, with errors that tell the fix."""

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monitord.errors import ControlError

CONNECT_TIMEOUT_S = 5.0


class DaemonUnreachableError(ControlError):
    """Nobody answers at the socket, or we may not open it."""


class RefusedError(ControlError):
    """The daemon answered, and said no. `status` is the HTTP status, `answer` the decoded body."""

    def __init__(self, message: str, status: int, answer: Any) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_TIMEOUT_S)
        self.sock.connect(str(self._path))
        self.sock.settimeout(self.timeout)


class Client:
    """Asks the daemon that listens at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, target: str, *, timeout_s: float = 10.0) -> Any:
        return self._ask("GET", target, timeout_s)

    def post(self, target: str, document: Mapping[str, Any] | None = None, *, timeout_s: float = 10.0) -> Any:
        return self._ask("POST", target, timeout_s, document)

    def _ask(
        self, method: str, target: str, timeout_s: float, document: Mapping[str, Any] | None = None
    ) -> Any:
        headers = {"Accept": "application/json"}
        sent = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            sent = json.dumps(document).encode()
        connection = _UnixConnection(self.path, timeout_s)
        try:
            # A daemon with too many clients answers before it has read, and closes: its answer is what counts.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, target, sent, headers)
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            raise _unreachable(self.path, error) from error
        except http.client.HTTPException as error:
            raise ControlError(
                f"{self.path}: the answer is not HTTP ({error!r}); is this monitord's socket?"
            ) from error
        finally:
            connection.close()
        answer = _decode(body, response.getheader("Content-Type", ""))
        if response.status >= http.client.BAD_REQUEST:
            message = answer.strip() if isinstance(answer, str) else response.reason
            raise RefusedError(message, response.status, answer)
        return answer


def target_of(*parts: str) -> str:
    """A path from its parts, each quoted whole."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _decode(body: bytes, content_type: str) -> Any:
    if content_type.split(";", maxsplit=1)[0].strip() == "application/json":
        return json.loads(body)
    return body.decode(errors="replace")


def _unreachable(path: Path, error: OSError) -> ControlError:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        what, hint = "no daemon listens there", "systemctl start monitord, or name its socket with --socket"
    elif isinstance(error, PermissionError):
        what, hint = (
            "permission denied",
            "root and members of group monitord may open it: adduser YOU monitord",
        )
    elif isinstance(error, TimeoutError):
        what, hint = "the daemon does not answer", "see: journalctl -u monitord -e"
    else:
        what, hint = error.strerror or str(error), ""
    return DaemonUnreachableError(f"{path}: {what}", hint=hint)
