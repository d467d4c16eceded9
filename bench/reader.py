"""Reads one address of the status socket as fast as told, and counts: a process of its own, for a core of its own.

Arguments: socket, target, answers a second (0: as fast as they come), seconds. Prints in one line: answers, bytes, the
time that half and that 99 % of the answers took at most, and the whole time.
"""

import re
import socket
import sys
import time

CONNECTIONS = 4
"""One request in flight on each."""

LARGEST_READ_BYTES = 1 << 20


class Connection:
    def __init__(self, path: str, target: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._buffer = bytearray(LARGEST_READ_BYTES)

    def send(self) -> None:
        self._socket.sendall(self._request)

    def receive(self) -> int:
        """The bytes of the answer. Raises RuntimeError for one that is not 200."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        left = int(length[1]) - len(body)
        while left:
            left -= self._socket.recv_into(self._buffer, min(left, LARGEST_READ_BYTES))
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
