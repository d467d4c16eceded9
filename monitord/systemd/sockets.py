"""Listening sockets that the service manager opened and passed (sd_listen_fds(3)).

They outlive the daemon's restarts: clients wait in the backlog instead of being refused. Whoever serves on one
must close it without removing its file, which asyncio does by default from Python 3.13 (`cleanup_socket`).
"""

import socket

from .environment import PassedDescriptor, ServiceEnvironment


def listening_sockets(environment: ServiceEnvironment) -> dict[str, list[socket.socket]]:
    """The passed sockets by the name of their unit, non-blocking; owned by the caller.

    Raises ValueError when one of them is not a listening stream socket; none stays open then.
    """
    if environment.descriptors_problem is not None:
        raise ValueError(
            f"the passed sockets cannot be used: {environment.descriptors_problem}; LISTEN_FDS and "
            "LISTEN_FDNAMES have to match each other and the open descriptors (sd_listen_fds(3))"
        )
    sockets: dict[str, list[socket.socket]] = {}
    try:
        for descriptor in environment.descriptors:
            sockets.setdefault(descriptor.name, []).append(_listening_socket(descriptor))
    except ValueError:
        for group in sockets.values():
            for passed in group:
                passed.close()
        raise
    return sockets


def _listening_socket(descriptor: PassedDescriptor) -> socket.socket:
    what = f'descriptor {descriptor.number} ("{descriptor.name}"), passed by the service manager,'
    try:
        passed = socket.socket(fileno=descriptor.number)
    except OSError as error:
        raise ValueError(f"{what} is not a socket: {error.strerror}") from error
    if passed.type != socket.SOCK_STREAM or not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        passed.close()
        raise ValueError(f"{what} is not a listening stream socket; use ListenStream= and Accept=no")
    passed.setblocking(False)
    return passed
