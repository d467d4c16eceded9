import pytest

from monitord.cluster.settling import Settling, observed

ALL = frozenset({"fra", "hel", "nyc"})
TWO = frozenset({"fra", "hel"})


def settling_after(*observations: tuple[float, frozenset[str] | None]) -> Settling:
    settling = Settling()
    for now_s, locations in observations:
        settling = observed(settling, locations, now_s)
    return settling


def every_two_seconds(
    begin: int, end: int, locations: frozenset[str]
) -> list[tuple[float, frozenset[str] | None]]:
    return [(float(now_s), locations) for now_s in range(begin, end, 2)]


@pytest.mark.parametrize(
    ("observations", "counted", "now_s", "is_settled"),
    [
        pytest.param([], ALL, 100.0, False, id="start"),
        pytest.param([], frozenset(), 100.0, False, id="start, no live location"),
        pytest.param(every_two_seconds(0, 8, ALL), ALL, 7.9, False, id="too short"),
        pytest.param(every_two_seconds(0, 8, ALL), ALL, 8.0, True, id="long enough"),
        pytest.param(every_two_seconds(0, 20, ALL), TWO, 20.0, False, id="the tally counts another set"),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), (20.0, TWO)], TWO, 20.0, False, id="a location has just died"
        ),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), *every_two_seconds(20, 30, TWO)],
            TWO,
            28.0,
            True,
            id="a location died a while ago",
        ),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), (20.0, TWO), (22.0, ALL)],
            ALL,
            22.0,
            False,
            id="a location has returned",
        ),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), (20.0, None), (22.0, ALL)],
            ALL,
            22.0,
            False,
            id="the database was away",
        ),
        pytest.param([*every_two_seconds(0, 20, ALL), (20.0, None)], ALL, 20.0, False, id="it is away"),
        pytest.param(every_two_seconds(0, 20, ALL), ALL, 30.0, False, id="no heartbeat for a while"),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), (300.0, ALL)], ALL, 300.0, False, id="this process was stopped"
        ),
        pytest.param(
            [*every_two_seconds(0, 20, ALL), *every_two_seconds(300, 310, ALL)],
            ALL,
            308.0,
            True,
            id="a while after this process was stopped",
        ),
    ],
)
def test_settled(
    observations: list[tuple[float, frozenset[str] | None]],
    counted: frozenset[str],
    now_s: float,
    is_settled: bool,
) -> None:
    assert settling_after(*observations).is_settled(counted, now_s) is is_settled
