"""Conversion of hosts to addresses for sockets."""

import socket

import pytest

from monitord.net.base.addressing import ip_version, parse_host, socket_address


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        (" NS1.Example.Org ", "ns1.example.org"),
        ("localhost", "localhost"),
        ("my_host.example", "my_host.example"),
        ("example.org.", "example.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("192.0.2.1.", "192.0.2.1"),
        ("192.0.2.1.example", "192.0.2.1.example"),
        ("4you", "4you"),
        ("straße.example", "xn--strae-oqa.example"),
        ("[fe80::1%25eth0]", "fe80::1%eth0"),
        ("fe80::1%2", "fe80::1%2"),
    ],
)
def test_host_is_a_name_or_an_address(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "http://a.test",
        "a.test:53",
        "192.0.2.1:53",
        "a..b",
        "-a",
        "a/b",
        "[a]",
        "x" * 254,
        "é" * 300,
        "x" * 64,
        "a|b",
        "a%00b",
        "a\0b",
        "[192.0.2.1]",
        "fe80::1%",
        "fe80::1%eth 0",
        "fe80::1%eth/0",
        "[fe80::1%25]",
        "192.0.2.1%eth0",
        "192.0.2.300",
        "192.0.2.1.5",
        "a.test.1",
    ],
)
def test_invalid_host_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host; write only a host name or an IP address"):
        parse_host(text)


def test_address_is_converted_for_a_socket() -> None:
    assert socket_address("192.0.2.1", 53) == (socket.AF_INET, ("192.0.2.1", 53))
    assert socket_address("2001:db8::1", 53) == (socket.AF_INET6, ("2001:db8::1", 53, 0, 0))
    number = socket.if_nametoindex("lo")
    assert socket_address("fe80::1%lo", 53) == (socket.AF_INET6, ("fe80::1", 53, 0, number))
    assert (ip_version("192.0.2.1"), ip_version("fe80::1%lo")) == (4, 6)
