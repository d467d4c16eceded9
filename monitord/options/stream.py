"""The options of a connection over TCP, with or without TLS."""

from monitord.config import Table
from monitord.net import IpFamily
from monitord.net.base.addressing import parse_host
from monitord.net.stream.client import StreamTarget
from monitord.options.address import check_family
from monitord.options.source import check_source, read_source
from monitord.options.tls import read_tls


def read_stream_target(
    table: Table,
    host: str,
    port: int,
    socket_path: str | None = None,
    *,
    begins_with_tls: bool,
    alpn: tuple[str, ...] = (),
) -> StreamTarget:
    """Read `ip_family`, `source_address`, `server_name` and the TLS options of a target."""
    ip_family = table.choice("ip_family", IpFamily, default=IpFamily.ANY)
    source = read_source(table, ip_family)
    if socket_path is None:
        check_family(table, host, ip_family)
        check_source(table, host, source)
    return StreamTarget(
        host=host,
        port=port,
        socket_path=socket_path,
        ip_family=ip_family,
        source=source,
        begins_with_tls=begins_with_tls,
        tls=read_tls(table, alpn=alpn),
        server_name=table.value("server_name", parse_host, default=None),
    )
