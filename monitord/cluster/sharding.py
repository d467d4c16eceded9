"""The division of work: monitors hash to shards, and shards and notifiers to nodes.

Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998): every node
computes the same owner from the same set of nodes, and if a node leaves, only its shards move. Two nodes that see
different sets may both do the same work, which costs time and changes no result.
"""

from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b

SHARDS = 1024
"""Stored in the database with each monitor: it cannot change without a migration."""


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def shard_of(monitor: str) -> int:
    """Return the shard of a monitor, from 0 to `SHARDS` - 1; the same on every node and in every release."""
    return _hash(monitor) % SHARDS


def owner(shard: int, nodes: Collection[str]) -> str | None:
    """Return the node to which a shard is assigned; None without nodes."""
    return _owner(f"shard {shard}", nodes)


def owner_of_notifier(notifier: str, nodes: Collection[str]) -> str | None:
    """Return the node that delivers for a notifier, so that it can group notifications; None without nodes."""
    return _owner(f"notifier {notifier}", nodes)


def owned_shards(node: str, nodes: Collection[str]) -> frozenset[int]:
    """Return the shards of a node. The result for a set of nodes is cached."""
    return _owned_shards(node, frozenset(nodes))


@lru_cache(maxsize=64)
def _owned_shards(node: str, nodes: frozenset[str]) -> frozenset[int]:
    return frozenset(shard for shard in range(SHARDS) if owner(shard, nodes) == node)


def _owner(thing: str, nodes: Collection[str]) -> str | None:
    return max(nodes, key=lambda node: (_hash(f"{node}\0{thing}"), node), default=None)
