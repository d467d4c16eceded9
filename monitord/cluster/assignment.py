"""The part of this node in the work of the cluster: which monitors it checks and decides, and for which notifiers."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from monitord.cluster.model import Membership, NodeShard, Role
from monitord.cluster.sharding import owned_shards, owner, owner_of_notifier, shard_of
from monitord.dispatch.registry import Registry
from monitord.monitors import Monitor
from monitord.notifiers import NotifierSettings


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of one node: shards, and the monitors of other shards whose nodes do not have them."""

    shards: frozenset[int] = frozenset()
    for_others: frozenset[str] = frozenset()

    def includes(self, name: str, shard: int) -> bool:
        return shard in self.shards or name in self.for_others


class Assignment:
    """The `Placement` of the dispatcher, by the nodes that are live.

    Until the node is live, it counts as live at its location: it becomes live after a first round of checks.

    A monitor that the node to which its shard is assigned does not have belongs to one of the nodes that have it.
    Monitors whose checks need the database (`Monitor.is_checked_by_agents`) are divided among the nodes only.
    """

    def __init__(self, registry: Registry, node: str, location: str, *, is_agent: bool = False) -> None:
        self.node = node
        self.location = location
        self.membership = Membership()
        self._registry = registry
        self._is_shared: WeakKeyDictionary[Monitor[Any], bool] = WeakKeyDictionary()
        self._is_agent = is_agent
        self._share = _Share(owned_shards(node, {node}))
        self._share_without_agents = _Share() if is_agent else self._share
        self._decided_shards: frozenset[int] = frozenset()
        self._monitors: dict[str, dict[int, Mapping[str, str]]] = {}  # by node and shard
        self._decided_for_others: frozenset[str] = frozenset()
        self._divided_among: tuple[Collection[str], ...] | None = None
        self._notifiers: frozenset[str] = frozenset()

    def is_shared(self, monitor: Monitor[Any]) -> bool:
        """Whether the cluster decides the state of this monitor."""
        known = self._is_shared.get(monitor)
        if known is None:
            known = self._is_shared[monitor] = not monitor.is_bound_to_host
        return known

    def is_shared_name(self, name: str) -> bool:
        """Whether this node has a shared monitor of this name."""
        entry = self._registry.entries.get(name)
        return entry is not None and self.is_shared(entry.monitor)

    def is_checked_here(self, name: str) -> bool:
        """Whether this node checks the shared monitor of this name."""
        return self.is_own_shard(name) and self.is_for_location(name, self.location)

    def is_for_location(self, name: str, location: str) -> bool:
        """Whether a location is to check the monitor of this name; True if it is not configured here."""
        entry = self._registry.entries.get(name)
        locations = () if entry is None else entry.monitor.settings.locations
        return not locations or location in locations

    def is_own_shard(self, name: str) -> bool:
        """Whether no other node of the location checks a monitor of this name, if it is to be checked there."""
        entry = self._registry.entries.get(name)
        is_for_all = entry is None or entry.monitor.is_checked_by_agents
        share = self._share if is_for_all else self._share_without_agents
        return share.includes(name, shard_of(name))

    def is_configured_here(self, name: str) -> bool:
        """Whether this node has a shared monitor of this name that its location is to check, and that it can check."""
        entry = self._registry.entries.get(name)
        if entry is None or not self.is_shared(entry.monitor):
            return False
        can_check = entry.monitor.is_checked_by_agents or not self._is_agent
        return can_check and self.is_for_location(name, self.location)

    def checked_here(self) -> list[str]:
        """Return the shared monitors that this node checks."""
        return [
            name
            for name, entry in self._registry.entries.items()
            if self.is_shared(entry.monitor) and self.is_checked_here(name)
        ]

    @property
    def decided_shards(self) -> frozenset[int]:
        """The shards whose monitors this node decides; empty while it is not live."""
        return self._decided_shards

    @property
    def decided_for_others(self) -> frozenset[str]:
        """The monitors of other shards that this node decides, because their nodes do not have them."""
        return self._decided_for_others

    def is_decided_here(self, name: str) -> bool:
        return shard_of(name) in self._decided_shards or name in self._decided_for_others

    def nodes_with(self, monitor: str) -> list[str]:
        """The known nodes that have published a shared monitor of this name, live or not."""
        shard = shard_of(monitor)
        return [
            node.name
            for node in self.membership.nodes
            if monitor in self._monitors.get(node.name, {}).get(shard, ())
        ]

    def update(self, membership: Membership, *, keeps_shards: bool = False) -> Collection[str]:
        """Apply the membership, and return the monitors whose checks begin or end here.

        `keeps_shards`: the other nodes cannot have sent a heartbeat yet, so the division of work does not change.
        """
        self.membership = membership
        if keeps_shards:
            return ()
        deciding = set(membership.deciding_nodes())
        if not self._is_agent and self.node in membership.live_nodes():
            # Even if its decisions fail: the others decide the same, until it succeeds again.
            deciding.add(self.node)
        of_location = {self.node, *membership.checking_nodes(self.location)}
        nodes = {self.node, *membership.checking_nodes(self.location, includes_agents=False)}
        if self._divided_among == (deciding, of_location, nodes):
            return ()
        self._divided_among = deciding, of_location, nodes
        self._decided_shards = owned_shards(self.node, deciding) if self.node in deciding else frozenset()
        self._decided_for_others = self._left_by_owners(self._decided_shards, deciding)
        before = self._share, self._share_without_agents
        self._share = self._share_among(of_location)
        if not self._is_agent:
            self._share_without_agents = self._share if nodes == of_location else self._share_among(nodes)
        after = self._share, self._share_without_agents
        if before == after:
            return ()
        moved: list[str] = []
        for name, entry in self._registry.entries.items():
            if self.is_shared(entry.monitor):
                kind, shard = 0 if entry.monitor.is_checked_by_agents else 1, shard_of(name)
                if before[kind].includes(name, shard) is not after[kind].includes(name, shard):
                    moved.append(name)
        return moved

    def _share_among(self, nodes: Collection[str]) -> _Share:
        shards = owned_shards(self.node, nodes)
        return _Share(shards, self._left_by_owners(shards, nodes))

    def note_monitors(self, published: NodeShard) -> None:
        """Take the monitors that a node has in a shard, for the next `update`."""
        shards = self._monitors.setdefault(published.node, {})
        if shards.get(published.shard, {}) == published.monitors:
            return
        own = self._monitors.get(self.node, {}).get(published.shard)
        # Nearly always the same, which is then stored once.
        shards[published.shard] = own if own is not None and own == published.monitors else published.monitors
        self._divided_among = None

    def _left_by_owners(self, shards: Collection[int], nodes: Collection[str]) -> frozenset[str]:
        """Return the monitors of other shards whose owners among `nodes` do not have them, and that are left to this
        node. Nodes that have published nothing, such as agents, count as having all."""
        names: list[str] = []
        for shard, monitors in self._monitors.get(self.node, {}).items():
            owning = None if not monitors or shard in shards else owner(shard, nodes)
            if owning is None or owning not in self._monitors:
                continue
            theirs = self._monitors[owning].get(shard, {})
            for name in () if theirs is monitors else monitors.keys() - theirs.keys():
                able = [
                    node
                    for node in nodes
                    if node not in self._monitors or name in self._monitors[node].get(shard, ())
                ]
                if owner(shard, able) == self.node:
                    names.append(name)
        return frozenset(names)

    def is_delivered_here(self, notifier: str) -> bool:
        """Whether a notifier was assigned to this node by the last call of `notifiers`."""
        return notifier in self._notifiers

    def notifiers(self, configured: Iterable[NotifierSettings]) -> tuple[list[str], list[str]]:
        """Return the notifiers that are assigned to this node, and the others that it can deliver for."""
        assigned: list[str] = []
        others: list[str] = []
        for notifier in configured:
            if notifier.locations and self.location not in notifier.locations:
                continue
            is_assigned = owner_of_notifier(notifier.name, self._able(notifier)) == self.node
            (assigned if is_assigned else others).append(notifier.name)
        self._notifiers = frozenset(assigned)
        return assigned, others

    def others_can_deliver(self, notifier: NotifierSettings) -> bool:
        """Whether another live node can deliver for a notifier."""
        return any(node != self.node for node in self._able(notifier))

    def _able(self, notifier: NotifierSettings) -> list[str]:
        return [
            node.name
            for node in self.membership.nodes
            if node.is_live
            and node.role is Role.NODE
            and (not notifier.locations or node.location in notifier.locations)
        ]
