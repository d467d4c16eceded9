"""The option `source_address`: addresses of this host from which a check connects."""

from ipaddress import ip_address

from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.net import IpFamily
from monitord.net.base.addressing import NO_SOURCE, SourceAddresses, has_family, ip_version, parse_host
from monitord.net.base.resolver import literal_address

_EXAMPLE = 'write an address of this host, such as "192.0.2.10"'


def read_source(table: Table, ip_family: IpFamily) -> SourceAddresses:
    """Whether this host has the addresses is found by a check: it may get them later, or on another network."""
    addresses = table.one_or_more("source_address", _address, default=())
    by_version = {ip_version(address): address for address in addresses}
    if len(by_version) < len(addresses):
        table.error("source_address", "has two addresses of one family", "keep one IPv4 and one IPv6 address")
    source = SourceAddresses(by_version.get(4), by_version.get(6))
    if source and ip_family is not IpFamily.ANY and ip_family.value not in by_version:
        table.error(
            "source_address",
            f"has no IPv{ip_family.value} address, and ip_family is {ip_family.value}",
            f"add an IPv{ip_family.value} address, or remove ip_family",
        )
        return NO_SOURCE
    return source


def check_source(table: Table, host: str, source: SourceAddresses) -> None:
    """Report a host that is an address of a family that the source does not have."""
    if source and not has_family(host, source.family(IpFamily.ANY)):
        version = literal_address(host)
        table.error(
            "source_address",
            f"has no IPv{version} address, and {host} is an IPv{version} address",
            f"add an IPv{version} address",
        )


def _address(text: str) -> str:
    try:
        host = parse_host(text)
        address = ip_address(host.partition("%")[0])
    except ValueError:
        raise InvalidValueError("is not an IP address", _EXAMPLE) from None
    if literal_address(host) is None or address.is_unspecified or address.is_multicast:
        raise InvalidValueError("is not the address of a host", _EXAMPLE)
    return host
