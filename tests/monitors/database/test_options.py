"""The options that all types of databases read in the same way."""

from pathlib import Path

import pytest

from monitord.monitors import MONITOR_TYPES
from tests.certificates import Authority
from tests.configurations import options_of

OPERATIONS = {
    "redis": ('database = 2\ncommand = ["PING"]', "2", ("PING",)),
    "postgresql": ('database = "shop"\nquery = "SELECT 1"', "shop", ("SELECT 1",)),
    "mysql": ('database = "shop"\nquery = "SELECT 1"', "shop", ("SELECT 1",)),
}
"""Keys, and the database and operation that they select, by type."""
PORTS = {"redis": 6379, "postgresql": 5432, "mysql": 3306}


@pytest.mark.parametrize("type_name", OPERATIONS)
def test_every_option_is_read(type_name: str, tmp_path: Path, authority: Authority, ca_file: str) -> None:
    own = authority.issue("me", directory=tmp_path)
    operation, database, command = OPERATIONS[type_name]
    keys = f"""address = "[::1]:1234"
        username = "kim"
        password = "secret-secret"
        {operation}
        ip_family = 6
        tls = true
        verify = true
        ca_file = "{ca_file}"
        client_certificate_file = "{own.chain_file}"
        client_key_file = "{own.key_file}"
        server_name = "db.test"
        min_tls_version = "1.3"
    """
    options = options_of(MONITOR_TYPES[type_name], tmp_path, keys)
    target = options.target
    assert (target.host, target.port, target.peer_name) == ("::1", 1234, "db.test")
    assert (target.ip_family.value, target.begins_with_tls, target.tls.verify) == (6, True, True)
    assert (target.tls.ca_file, target.tls.certificate_file) == (ca_file, str(own.chain_file))
    assert target.tls.key_file == str(own.key_file)
    assert target.tls.min_version.value == "1.3"
    assert (options.user, options.password_text) == ("kim", "secret-secret")
    assert (options.command, options.database) == (command, database)


@pytest.mark.parametrize("type_name", OPERATIONS)
@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("db.test", "db.test", None), ("[::1]", "::1", None), ("192.0.2.1:7000", "192.0.2.1", 7000)],
)
def test_port_is_optional(type_name: str, tmp_path: Path, address: str, host: str, port: int | None) -> None:
    keys = f'address = "{address}"\nusername = "kim"\npassword = "secret-secret"'
    target = options_of(MONITOR_TYPES[type_name], tmp_path, keys).target
    assert (target.host, target.port) == (host, PORTS[type_name] if port is None else port)
