"""From monitors and their past to the content of a page."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from monitord.dispatch import Matcher
from monitord.health import TimeWindow
from monitord.history import Uptime
from monitord.model import PostStatus, State
from monitord.posts import Post, PostUpdate
from monitord.public_pages.build import (
    PastInput,
    build_content,
    day_bounds,
    day_of,
    overall_state,
    slug_of,
    state_of,
)
from monitord.public_pages.content import DayState, OverallState, PublicContent, PublicState
from monitord.public_pages.settings import PageSettings
from tests.public_pages.world import (
    DAY,
    DAY_S,
    HOUR,
    NOW,
    PAGE,
    days,
    incident,
    monitor,
    uptime,
    usual_content,
)

MINUTE = timedelta(minutes=1)
UP, OUT, WARN, NONE, WORK = (
    PublicState.OPERATIONAL,
    PublicState.OUTAGE,
    PublicState.DEGRADED,
    PublicState.NO_DATA,
    PublicState.MAINTENANCE,
)


@pytest.mark.parametrize(
    ("states", "overall"),
    [
        ([], OverallState.NO_DATA),
        ([UP, UP], OverallState.OPERATIONAL),
        ([UP, WORK], OverallState.MAINTENANCE),
        ([UP, UP, NONE], OverallState.OPERATIONAL),
        ([UP, NONE], OverallState.OPERATIONAL),
        ([UP, NONE, NONE], OverallState.NO_DATA),
        ([UP, WORK, NONE], OverallState.MAINTENANCE),
        ([NONE, NONE, OUT], OverallState.PARTIAL_OUTAGE),
        ([UP, NONE, WARN], OverallState.DEGRADED),
        ([WARN, OUT, UP, UP], OverallState.PARTIAL_OUTAGE),
        ([OUT, UP], OverallState.PARTIAL_OUTAGE),
        ([OUT, OUT, UP], OverallState.MAJOR_OUTAGE),
    ],
)
def test_overall_state_is_that_of_the_worst_services(
    states: list[PublicState], overall: OverallState
) -> None:
    assert overall_state(states) is overall


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_public_state(state: State) -> None:
    known = {State.UP: UP, State.DEGRADED: WARN, State.DOWN: OUT}
    assert state_of(state, in_maintenance=False) is known.get(state, NONE)
    assert state_of(state, in_maintenance=True) is WORK


@pytest.mark.parametrize(
    ("spent", "state"),
    [
        (Uptime({}), DayState.NO_DATA),
        (Uptime({State.UNKNOWN: DAY_S}), DayState.NO_DATA),
        (Uptime({}, 3600.0), DayState.MAINTENANCE),
        (Uptime({State.UP: 3600.0}, 3600.0), DayState.OPERATIONAL),
        (uptime(degraded_s=60.0), DayState.DEGRADED),
        (uptime(down_s=1.0), DayState.PARTIAL_OUTAGE),
        (uptime(up_s=95.0, down_s=5.0), DayState.PARTIAL_OUTAGE),
        (uptime(up_s=94.0, down_s=6.0), DayState.OUTAGE),
    ],
)
def test_day_shows_its_worst_time(spent: Uptime, state: DayState) -> None:
    day = day_of(spent)
    assert (day.state, day.ratio) == (state, spent.ratio)


def test_days_begin_at_midnight_in_the_zone_of_the_page_even_when_the_offset_changes() -> None:
    bounds = day_bounds(datetime(2026, 10, 26, 12, tzinfo=UTC), 3, "Europe/Berlin")
    assert bounds == [
        datetime(2026, 10, 23, 22, tzinfo=UTC),
        datetime(2026, 10, 24, 22, tzinfo=UTC),
        datetime(2026, 10, 25, 23, tzinfo=UTC),
        datetime(2026, 10, 26, 23, tzinfo=UTC),
    ]
    assert [end - begin for begin, end in pairwise(bounds)] == [DAY, 25 * HOUR, DAY]


def test_day_whose_midnight_does_not_exist_begins_with_the_next_hour() -> None:
    # In Beirut, the clock goes from 24:00 to 01:00.
    bounds = day_bounds(datetime(2026, 3, 29, 12, tzinfo=UTC), 1, "Asia/Beirut")
    assert bounds == [datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 21, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("title", "slug"),
    [("Café API (EU)", "cafe-api-eu"), ("shop.web_1", "shop-web-1"), ("日本", "service"), ("--", "service")],
)
def test_id_is_derived_from_the_title(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def built(*monitors: str, settings: PageSettings = PAGE) -> PublicContent:
    inputs = [monitor(name, title) for name, _, title in (text.partition(":") for text in monitors)]
    return build_content(settings, inputs, PastInput({}), (), NOW)


def test_equal_titles_have_different_ids_that_do_not_depend_on_the_order() -> None:
    first = {service.id for service in built("a:Mail", "b:mail", "c:Mail-2").services}
    again = built("c:Mail-2", "b:mail", "a:Mail")
    assert first == {service.id for service in again.services} == {"mail", "mail-2", "mail-2-2"}
    assert [service.title for service in again.services] == ["Mail-2", "mail", "Mail"]


def test_groups_have_the_order_of_the_page_and_services_that_of_the_configuration() -> None:
    content = built("x-db-2", "office", "x-web-1", "x-db-1")
    assert [(group.title, [service.title for service in group.services]) for group in content.groups] == [
        ("Web", ["x-web-1"]),
        ("Data", ["x-db-2", "x-db-1"]),
        ("", ["office"]),
    ]


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([UP, NONE], UP),
        ([UP, NONE, NONE], NONE),
        ([NONE, WORK], WORK),
        ([UP, WORK], WORK),
        ([NONE, NONE, WARN, UP], WARN),
        ([WARN, OUT, NONE, NONE, NONE], OUT),
    ],
)
def test_state_of_a_group_is_that_of_its_worst_service(states: list[PublicState], state: PublicState) -> None:
    monitors = [monitor(f"x-web-{number}", state=state) for number, state in enumerate(states)]
    (group,) = build_content(PAGE, monitors, PastInput({}), (), NOW).groups
    assert group.state is state


def test_group_without_services_is_not_shown() -> None:
    assert [group.title for group in built("office").groups] == [""]
    assert built().groups == ()


def test_uptime_is_that_of_all_days_together() -> None:
    uptimes = (uptime(up_s=100.0, down_s=100.0), uptime(up_s=300.0))
    content = build_content(PAGE, [monitor("a")], PastInput({"a": uptimes}), (), NOW)
    (service,) = content.services
    assert service.ratio == 0.8
    assert len(service.days) == PAGE.days
    assert [day.ratio for day in service.days[-3:]] == [None, 0.5, 1.0]


def test_open_incident_is_shown_before_the_history_contains_it() -> None:
    opened = incident("a", NOW - HOUR)
    content = build_content(PAGE, [monitor("a", incident=opened)], PastInput({}), (), NOW)
    (shown,) = content.incidents
    assert (shown.began_at, shown.ended_at) == (opened.opened_at, None)


def test_incident_that_only_the_history_has_as_open_is_not_shown() -> None:
    stored = PastInput({}, [incident("a", NOW - HOUR)])
    assert build_content(PAGE, [monitor("a")], stored, (), NOW).incidents == ()


def test_incidents_of_other_monitors_are_not_shown() -> None:
    stored = PastInput({}, [incident("removed", NOW - HOUR, NOW)])
    assert build_content(PAGE, [monitor("a")], stored, (), NOW).incidents == ()


def test_incidents_are_sorted_and_limited() -> None:
    past = [incident("a", NOW - number * HOUR, NOW, f"i{number}") for number in range(150)]
    shown = build_content(PAGE, [monitor("a")], PastInput({}, past), (), NOW).incidents
    assert [incident.began_at for incident in shown] == [NOW - number * HOUR for number in range(100)]


def test_ids_of_incidents_do_not_change() -> None:
    before, after = usual_content(), usual_content()
    assert [incident.id for incident in before.incidents] == [incident.id for incident in after.incidents]
    assert len({incident.id for incident in before.incidents}) == 2


def test_maintenance_names_the_services_of_the_page_that_it_affects() -> None:
    shown = [(entry.begins_at, entry.titles, entry.covers_all) for entry in usual_content().maintenance]
    assert shown == [
        (NOW - HOUR, ("Café mail",), False),
        (NOW + 2 * DAY, ("Front page <b>", "Orders", "Café mail"), True),
    ]


def test_maintenance_is_limited_and_sorted() -> None:
    windows = [TimeWindow(f"w{number}", 60.0, begins_at=NOW + number * HOUR) for number in range(40, 0, -1)]
    far = TimeWindow("far", 60.0, begins_at=NOW + timedelta(days=31))
    content = build_content(PAGE, [monitor("a")], PastInput({}), [far, *windows], NOW)
    assert [entry.begins_at for entry in content.maintenance] == [
        NOW + number * HOUR for number in range(1, 21)
    ]


def test_equal_maintenance_of_the_same_services_is_shown_once() -> None:
    windows = [TimeWindow(name, 60.0, begins_at=NOW + HOUR) for name in ("a", "b")]
    content = build_content(PAGE, [monitor("a")], PastInput({}), windows, NOW)
    assert len(content.maintenance) == 1


def test_resolved_posts_are_limited_and_expire() -> None:
    def post(number: int, age: timedelta, status: PostStatus) -> Post:
        return Post(
            f"p{number}", "customers", f"Post {number}", (PostUpdate(NOW - age, status, "text", "ann"),)
        )

    resolved = [post(number, number * HOUR, PostStatus.RESOLVED) for number in range(15)]
    posts = [
        *resolved,
        post(20, 100 * DAY, PostStatus.RESOLVED),
        *(post(number, 100 * DAY, PostStatus.MONITORING) for number in (21, 22)),
    ]
    shown = build_content(PAGE, [], PastInput({}), (), NOW, posts).posts
    assert [post.title for post in shown] == [f"Post {number}" for number in (*range(10), 21, 22)]
    assert build_content(PAGE, [], PastInput({}), (), NOW, posts[15:16]).posts == ()


def post_of(number: int, *updates: PostUpdate) -> Post:
    return Post(f"p{number}", "customers", f"Post {number}", updates)


def test_open_posts_and_updates_are_limited_to_the_newest() -> None:
    texts = [
        PostUpdate(NOW - DAY + place * MINUTE, PostStatus.MONITORING, str(place), "ann")
        for place in range(30)
    ]
    posts = [post_of(number, *texts) for number in range(15)]
    shown = build_content(PAGE, [], PastInput({}), (), NOW, posts).posts
    assert [post.title for post in shown] == [f"Post {number}" for number in range(10)]
    assert [update.text for update in shown[0].updates] == [str(place) for place in range(29, 9, -1)]
    assert (shown[0].created_at, shown[0].updated_at) == (NOW - DAY, NOW - DAY + 29 * MINUTE)


def test_correction_of_a_text_is_a_change_of_the_post() -> None:
    first = PostUpdate(NOW - DAY, PostStatus.INVESTIGATING, "a", "ann", NOW - HOUR, "bo")
    last = PostUpdate(NOW - 2 * HOUR, PostStatus.RESOLVED, "b", "ann")
    (shown,) = build_content(PAGE, [], PastInput({}), (), NOW, [post_of(1, first, last)]).posts
    assert (shown.created_at, shown.updated_at) == (NOW - DAY, NOW - HOUR)


def test_content_changes_only_with_the_minute() -> None:
    monitors, past = [monitor("a")], PastInput({"a": days(90)})
    first, second, later = (
        build_content(PAGE, monitors, past, (), NOW + timedelta(seconds=seconds)) for seconds in (0, 30, 60)
    )
    assert first == second != later


def test_page_of_all_monitors_has_no_groups() -> None:
    settings = PageSettings("p", "P", matcher=Matcher(patterns=("*",)))
    assert [group.title for group in built("a", "b", settings=settings).groups] == [""]
