"""Files with certificates of this host: of clients of ACME, and in /etc/ssl/private. Reads files; runs in a thread."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from monitord.monitors.certificate import MAX_FILE_BYTES, certificates_in
from monitord.monitors.files import read_file

LETSENCRYPT = Path("/etc/letsencrypt/live")
PRIVATE = Path("/etc/ssl/private")

MAX_FILES = 200
MAX_ENTRIES = 5_000
"""Directory entries that are examined."""

ABANDONED_AFTER = timedelta(days=30)
"""A certificate that expired so long ago is not in use, unless it is monitored already."""

SNAKEOIL = "snakeoil"
"""Part of the names of the certificates for tests that Debian's package ssl-cert creates."""

_SUFFIXES = frozenset({".pem", ".crt", ".cer", ".cert"})


def certificate_files(
    now: datetime,
    known: Collection[str],
    *,
    letsencrypt: Path = LETSENCRYPT,
    private: Path = PRIVATE,
) -> list[str]:
    """Return the readable files with certificates. `known`: the files that are monitored."""
    # certbot: the certificate with its chain, for each name.
    candidates = [folder / "fullchain.pem" for folder in _entries(letsencrypt)]
    candidates += [path for path in _entries(private) if path.suffix in _SUFFIXES]
    paths: list[str] = []
    for path in candidates:
        if SNAKEOIL in path.name:
            continue
        with suppress(OSError):
            is_kept = str(path) in known and path.is_file()
            if not is_kept:
                certificates = certificates_in(read_file(str(path), MAX_FILE_BYTES))
                is_kept = bool(certificates) and certificates[0].not_after > now - ABANDONED_AFTER
            if is_kept:
                paths.append(str(path))
        if len(paths) >= MAX_FILES:
            break
    return paths


def is_forbidden(folder: Path) -> bool:
    """Return whether this process must not read the directory."""
    try:
        next(folder.iterdir(), None)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a directory in the order of their names; empty if it cannot be read."""
    try:
        return sorted(path for path, _ in zip(folder.iterdir(), range(MAX_ENTRIES), strict=False))
    except OSError:
        return []
