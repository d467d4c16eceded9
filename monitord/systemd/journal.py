"""The native protocol of the journal: a datagram for each entry (systemd.io/JOURNAL_NATIVE_PROTOCOL).

journald reads from a queue of a few hundred datagrams that the whole system shares. While journald is stopped, a
blocking send would wait indefinitely. Therefore the socket does not block, and an `OutputQueue` stores the entries that
it does not accept. An entry is truncated to a size that always fits in a datagram; a memory file is not needed for log
messages.
"""

import re
import socket
from collections.abc import Mapping

SOCKET_PATH = "/run/systemd/journal/socket"
MAX_VALUE_BYTES = 32 * 1024
MAX_RECORD_BYTES = 96 * 1024  # two fit in the default net.core.wmem_default

# journald silently discards other names; a leading underscore is reserved (systemd.journal-fields(7)).
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TRUNCATION_MARK = " [truncated from %d bytes]"


def is_field_name(name: str) -> bool:
    return _FIELD_NAME.fullmatch(name) is not None


def encode_record(fields: Mapping[str, str]) -> bytes:
    """Return the datagram. Names must be valid. Values longer than MAX_VALUE_BYTES are truncated with a mark.

    Fields that exceed MAX_RECORD_BYTES are omitted, so the message should be the first field.
    """
    text = "\n".join([f"{name}={value}" for name, value in fields.items()])
    # There are as many lines as fields: no value contains a newline, so the short form is valid for all of them.
    if len(text) <= MAX_VALUE_BYTES // 4 and text.count("\n") == len(fields) - 1:
        return text.encode("utf-8", "backslashreplace") + b"\n"
    parts: list[bytes] = []
    room = MAX_RECORD_BYTES
    for name, value in fields.items():
        data = value.encode("utf-8", "backslashreplace")
        if len(data) > MAX_VALUE_BYTES:
            mark = (_TRUNCATION_MARK % len(data)).encode()
            data = data[:MAX_VALUE_BYTES].decode("utf-8", "ignore").encode() + mark
        if b"\n" in data:
            part = b"%b\n%b%b\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
        else:
            part = b"%b=%b\n" % (name.encode(), data)
        if len(part) <= room:
            parts.append(part)
            room -= len(part)
    return b"".join(parts)


class JournalTransport:
    """A connected, non-blocking datagram socket, which reconnects after a restart of journald.

    The constructor connects. It raises OSError if no journal listens.
    """

    def __init__(self, path: str = SOCKET_PATH) -> None:
        self._path = path
        self._socket: socket.socket | None = self._connect()

    def write(self, item: bytes) -> bytes:
        if self._socket is not None:
            try:
                self._socket.send(item)
            except ConnectionError:
                self.close()
            else:
                return b""
        try:
            self._socket = self._connect()
            self._socket.send(item)
        except (ConnectionError, FileNotFoundError) as error:
            raise BlockingIOError("no journal listens") from error
        return b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            connected.connect(self._path)
        except OSError:
            connected.close()
            raise
        return connected
