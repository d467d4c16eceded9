"""Listening sockets from the service manager (sd_listen_fds(3)).

They exist during restarts of the daemon, so that clients wait in the backlog. A server must close them without removing
their files, which asyncio does by default from Python 3.13 on (`cleanup_socket`).
"""

import socket

from .environment import PassedDescriptor, ServiceEnvironment


def listening_sockets(environment: ServiceEnvironment) -> dict[str, list[socket.socket]]:
    """Return the passed sockets by FileDescriptorName=, non-blocking. The caller closes them.

    Raises ValueError if a descriptor is not a listening stream socket; all are closed then.
    """
    if environment.descriptors_problem is not None:
        raise ValueError(
            f"the passed sockets cannot be used: {environment.descriptors_problem}; LISTEN_FDS and "
            "LISTEN_FDNAMES must match each other and the open descriptors (sd_listen_fds(3))"
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
    subject = f'descriptor {descriptor.number} ("{descriptor.name}") from the service manager'
    try:
        passed = socket.socket(fileno=descriptor.number)
    except OSError as error:
        raise ValueError(f"{subject} is not a socket: {error.strerror}") from error
    if passed.type != socket.SOCK_STREAM or not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        passed.close()
        raise ValueError(f"{subject} is not a listening stream socket; use ListenStream= and Accept=no")
    passed.setblocking(False)
    return passed
