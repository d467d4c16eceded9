"""A substitute for journald: reads and counts the datagrams at the socket of the given path.

It ends with standard input, and then prints the number of datagrams and of bytes.
"""

import select
import socket
import sys

LARGEST_RECORD_BYTES = 1 << 20


def main() -> None:
    count = size = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(sys.argv[1])
        print("listening", flush=True)
        poll = select.poll()
        poll.register(journal, select.POLLIN)
        poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
        is_open = True
        while is_open:
            ready = dict(poll.poll())
            if journal.fileno() in ready:
                size += len(journal.recv(LARGEST_RECORD_BYTES))
                count += 1
            else:
                is_open = sys.stdin.fileno() not in ready
    print(count, size)


if __name__ == "__main__":
    main()
