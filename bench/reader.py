"""A client that requests one path of the status socket at a given rate: a separate process, to use another core.

Arguments: socket, target, responses per second (0: as fast as possible), seconds. Prints one line: responses, bytes,
the median and the p99 of the response time, and the total time.
"""

import re
import socket
import sys
import time

CONNECTIONS = 4
"""One request in flight on each."""

MAX_READ_BYTES = 1 << 20


class Connection:
    def __init__(self, path: str, target: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._buffer = bytearray(MAX_READ_BYTES)

    def send(self) -> None:
        self._socket.sendall(self._request)

    def receive(self) -> int:
        """Return the size of the response. Raises RuntimeError if its status is not 200."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        left = int(length[1]) - len(body)
        while left:
            left -= self._socket.recv_into(self._buffer, min(left, MAX_READ_BYTES))
        return len(head) + 4 + int(length[1])


def main() -> None:
    path, target, rate, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    connections = [Connection(path, target) for _ in range(CONNECTIONS)]
    size = 0
    took: list[float] = []
    began = due = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        if rate and now < due:
            time.sleep(due - now)
        due += CONNECTIONS / rate if rate else 0
        sent = time.perf_counter()
        for connection in connections:
            connection.send()
        for connection in connections:
            size += connection.receive()
            took.append(time.perf_counter() - sent)
    ended = time.perf_counter()
    took.sort()
    print(len(took), size, took[len(took) // 2], took[len(took) * 99 // 100], ended - began)


if __name__ == "__main__":
    main()
