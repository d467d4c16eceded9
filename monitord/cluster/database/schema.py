"""The tables of the cluster, with versioned migrations."""

from dataclasses import dataclass

from monitord.net.base.resolver import Resolver

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Initialization:
    """The result of `initialize`. `version_before` 0: there were no tables.

    `time_offset_s`: the clock of this host minus that of the database.
    """

    version_before: int
    version: int
    server_version: str
    is_encrypted: bool
    time_offset_s: float


async def initialize(conninfo: str, resolver: Resolver) -> Initialization:
    """Create the tables, or migrate those of an earlier release.

    Raises ClusterError, with a hint, if the server does not respond or is too old, if TLS is missing, or if the user
    lacks a privilege.
    """
    raise NotImplementedError
