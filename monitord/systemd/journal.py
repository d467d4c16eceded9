"""The journal's native protocol: one datagram a record, fields by name (systemd.io/JOURNAL_NATIVE_PROTOCOL).

journald reads from one queue of a few hundred datagrams that the whole system shares; when it stands still, a
blocking send waits for good. So the socket does not block, and an `Outlet` keeps what it refuses. A record is cut
to what surely fits a datagram; handing over a memory file for larger ones is not worth it for lines that people read.
"""

import re
import socket
from collections.abc import Mapping

SOCKET_PATH = "/run/systemd/journal/socket"
LONGEST_VALUE_BYTES = 32 * 1024
LONGEST_RECORD_BYTES = 96 * 1024  # the default net.core.wmem_default holds two of them

# journald drops other names without a word; a leading underscore is its own (systemd.journal-fields(7)).
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_CUT_MARK = " [cut from %d bytes]"


def is_field_name(name: str) -> bool:
    return _FIELD_NAME.fullmatch(name) is not None


def encode_record(fields: Mapping[str, str]) -> bytes:
    """The datagram. Names must be valid; a value too long is cut and says so.

    Fields beyond the record's room drop out, the last ones first: put the message at the beginning.
    """
    text = "\n".join([f"{name}={value}" for name, value in fields.items()])
    # As many lines as fields: no value holds a newline, and the short form is right for all of them.
    if len(text) <= LONGEST_VALUE_BYTES // 4 and text.count("\n") == len(fields) - 1:
        return text.encode("utf-8", "backslashreplace") + b"\n"
    return _encode_long(fields)


def _encode_long(fields: Mapping[str, str]) -> bytes:
    parts: list[bytes] = []
    room = LONGEST_RECORD_BYTES
    for name, value in fields.items():
        data = value.encode("utf-8", "backslashreplace")
        if len(data) > LONGEST_VALUE_BYTES:
            mark = (_CUT_MARK % len(data)).encode()
            data = data[:LONGEST_VALUE_BYTES].decode("utf-8", "ignore").encode() + mark
        if b"\n" in data:
            part = b"%b\n%b%b\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
        else:
            part = b"%b=%b\n" % (name.encode(), data)
        if len(part) <= room:
            parts.append(part)
            room -= len(part)
    return b"".join(parts)


class JournalTransport:
    """A connected, non-blocking datagram socket; it connects again when journald was stopped and came back.

    Constructing it connects, and raises OSError where no journal listens.
    """

    def __init__(self, path: str = SOCKET_PATH) -> None:
        self._path = path
        self._socket: socket.socket | None = self._connected()

    def write(self, item: bytes) -> bytes:
        if self._socket is not None:
            try:
                self._socket.send(item)
            except ConnectionError:
                self.close()
            else:
                return b""
        try:
            self._socket = self._connected()
            self._socket.send(item)
        except (ConnectionError, FileNotFoundError) as error:
            raise BlockingIOError("no journal listens") from error
        return b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            connected.connect(self._path)
        except OSError:
            connected.close()
            raise
        return connected
