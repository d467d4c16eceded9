"""The RDAP servers of top-level domains: the bootstrap registry of IANA (RFC 9224).

The package contains the file that was current at its release: https://data.iana.org/rdap/dns.json.
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 4 << 20
PACKAGED = Path(__file__).with_name("dns.json")


class BootstrapError(Exception):
    """The file is not a bootstrap registry. The text has no name of the file."""


def rdap_server(domain: str, path: str = "") -> str | None:
    """Return the base URL, with a final slash, of the RDAP server for a domain; None if its registry has none.

    Reads the packaged file if `path` is empty. Raises OSError and BootstrapError.
    """
    path = path or str(PACKAGED)
    status = os.stat(path)  # noqa: PTH116 - text in
    servers = _servers(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    labels = domain.split(".")
    # RFC 9224, section 4: the entry with the most labels that the domain ends with.
    for start in range(1, len(labels)):
        if (server := servers.get(".".join(labels[start:]))) is not None:
            return server
    return None


@lru_cache(maxsize=4)
def _servers(path: str, stamp: tuple[int, int, int]) -> Mapping[str, str]:
    """Return the servers by domain. `stamp`: a reload reads a file that has changed again."""
    del stamp
    with open(path, "rb") as file:  # noqa: PTH123 - read at most MAX_FILE_BYTES
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise BootstrapError("is too large")
    try:
        document: Any = json.loads(content)
        services = document["services"]
        servers: dict[str, str] = {}
        for names, urls in services:
            # RFC 9224, section 3: https is preferred.
            url = min((str(url) for url in urls), key=lambda url: not url.startswith("https://"), default="")
            if url.startswith(("https://", "http://")):
                servers |= {str(name).lower(): url.removesuffix("/") + "/" for name in names}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BootstrapError("is not a bootstrap registry (RFC 9224)") from None
    return servers
