"""Checks of the options that belong to an address: the address family, and keys without effect on a Unix socket."""

from monitord.config import Table
from monitord.net import IpFamily
from monitord.net.base.addressing import family_mismatch, has_family


def check_family(table: Table, host: str, ip_family: IpFamily) -> None:
    """Record an error if the host is an address of another family."""
    if not has_family(host, ip_family):
        table.error("ip_family", *family_mismatch(host))


def check_unix_socket_keys(table: Table, *keys: str) -> None:
    """Record an error for each of the keys that is set, as the address is a Unix socket."""
    for key in keys:
        if key in table:
            table.error(key, "has no effect with a Unix socket", "remove it")
