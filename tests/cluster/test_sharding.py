import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.cluster.sharding import SHARDS, owned_shards, owner, owner_of_notifier, shard_of

NODES = ("fra1", "fra2", "hel1", "hel2", "nyc1", "nyc2")

node_sets = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)


@pytest.mark.parametrize(("monitor", "shard"), [("shop", 774), ("web é", 523), ("", 692)])
def test_shard_never_changes_between_releases(monitor: str, shard: int) -> None:
    """The database contains the numbers."""
    assert shard_of(monitor) == shard


@given(st.text())
def test_every_name_has_a_shard(name: str) -> None:
    assert 0 <= shard_of(name) < SHARDS


@given(node_sets, st.integers(0, SHARDS - 1), st.randoms(use_true_random=False))
def test_order_of_the_nodes_does_not_matter(nodes: set[str], shard: int, random: object) -> None:
    shuffled = sorted(nodes, key=lambda _: random.random())  # type: ignore[attr-defined]  # random.Random
    assert owner(shard, shuffled) == owner(shard, sorted(nodes))


@given(node_sets, st.integers(0, SHARDS - 1), st.data())
def test_node_that_leaves_moves_only_its_own_shards(nodes: set[str], shard: int, data: st.DataObject) -> None:
    leaving = data.draw(st.sampled_from(sorted(nodes)))
    before, after = owner(shard, nodes), owner(shard, nodes - {leaving})
    assert before in {after, leaving}


def test_shards_of_all_nodes_are_a_partition() -> None:
    shares = [owned_shards(node, NODES) for node in NODES]
    assert frozenset().union(*shares) == frozenset(range(SHARDS))
    assert sum(map(len, shares)) == SHARDS


def test_shares_are_about_equal() -> None:
    shares = [len(owned_shards(node, NODES)) for node in NODES]
    assert max(shares) < 1.3 * SHARDS / len(NODES)
    assert min(shares) > 0.7 * SHARDS / len(NODES)


def test_shards_of_monitors_are_spread() -> None:
    monitors = [f"monitor-{number}" for number in range(20 * SHARDS)]
    counts = [0] * SHARDS
    for monitor in monitors:
        counts[shard_of(monitor)] += 1
    assert min(counts) > 0
    assert max(counts) < 60


def test_notifiers_are_spread_over_the_nodes() -> None:
    assert {owner_of_notifier(f"notifier-{number}", NODES) for number in range(100)} == set(NODES)


def test_without_nodes_nothing_has_an_owner() -> None:
    assert owner(5, ()) is None
    assert owner_of_notifier("mail", ()) is None
    assert owned_shards("fra1", ()) == frozenset()


def test_node_that_is_not_live_owns_nothing() -> None:
    assert owned_shards("ams1", NODES) == frozenset()
