import os
import socket
from pathlib import Path

import pytest

from monitord.systemd.environment import PassedDescriptor, ServiceEnvironment
from monitord.systemd.sockets import listening_sockets


def passed(*sockets: tuple[socket.socket, str]) -> ServiceEnvironment:
    """Transfer the ownership of a descriptor, as from the service manager to a service."""
    return ServiceEnvironment(
        descriptors=tuple(PassedDescriptor(opened.detach(), name) for opened, name in sockets)
    )


def listening(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.bind(str(path))
    opened.listen()
    return opened


def test_sockets_are_returned_by_name_and_non_blocking(tmp_path: Path) -> None:
    environment = passed(
        (listening(tmp_path / "a"), "status"),
        (listening(tmp_path / "b"), "web"),
        (listening(tmp_path / "c"), "web"),
    )
    sockets = listening_sockets(environment)
    assert {name: len(group) for name, group in sockets.items()} == {"status": 1, "web": 2}
    status = sockets["status"][0]
    assert status.family == socket.AF_UNIX
    assert status.getsockname() == str(tmp_path / "a")
    assert not status.getblocking()
    for group in sockets.values():
        for each in group:
            each.close()


def test_without_descriptors_there_are_no_sockets() -> None:
    assert listening_sockets(ServiceEnvironment()) == {}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(socket.SOCK_STREAM, id="a stream that does not listen"),
        pytest.param(socket.SOCK_DGRAM, id="datagrams"),
    ],
)
def test_other_kinds_of_sockets_are_rejected_and_all_are_closed(
    tmp_path: Path, kind: socket.SocketKind
) -> None:
    environment = passed(
        (listening(tmp_path / "a"), "status"), (socket.socket(socket.AF_UNIX, kind), "strange")
    )
    with pytest.raises(ValueError, match=r'descriptor \d+ \("strange"\) .* use ListenStream= and Accept=no'):
        listening_sockets(environment)


def test_descriptors_that_libsystemd_rejects_are_rejected() -> None:
    environment = ServiceEnvironment(descriptors_problem="Bad file descriptor")
    with pytest.raises(
        ValueError, match="the passed sockets cannot be used: Bad file descriptor; LISTEN_FDS and "
    ):
        listening_sockets(environment)


def test_descriptor_that_is_not_a_socket_is_rejected() -> None:
    reading, writing = os.pipe()
    environment = ServiceEnvironment(descriptors=(PassedDescriptor(reading, "pipe"),))
    try:
        with pytest.raises(ValueError, match=r'\("pipe"\) from the service manager is not a socket'):
            listening_sockets(environment)
    finally:
        os.close(reading)
        os.close(writing)
