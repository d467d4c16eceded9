"""Stands in for journald: reads every datagram that comes to the socket at the given path, and counts them.

Ends when standard input does, and then prints how many came and how many bytes they were.
"""

import select
import socket
import sys

LARGEST_RECORD_BYTES = 1 << 20


def main() -> None:
    count = size = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(sys.argv[1])
        print("listens", flush=True)
        asked = select.poll()
        asked.register(journal, select.POLLIN)
        asked.register(sys.stdin, select.POLLIN | select.POLLHUP)
        is_open = True
        while is_open:
            ready = dict(asked.poll())
            if journal.fileno() in ready:
                size += len(journal.recv(LARGEST_RECORD_BYTES))
                count += 1
            else:
                is_open = sys.stdin.fileno() not in ready
    print(count, size)


if __name__ == "__main__":
    main()
