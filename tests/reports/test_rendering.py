"""A report as text and as HTML."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from monitord.history import Uptime
from monitord.model import State
from monitord.reports import wording
from monitord.reports.html import html_of
from monitord.reports.model import Figures, Report, ReportedMaintenance
from monitord.reports.period import Period, PeriodKind
from monitord.reports.text import WIDTH, text_of
from tests.reports.world import DAY, OCTOBER, october, stored_history

TEXT = """\
Monthly report 2026-10
2026-10-01 00:00 to 2026-11-01 00:00 Europe/Berlin, monitored by here.example.org

Uptime       99.872 %     (previously 99.931 %, -0.059 pp)
Downtime     2h           (previously 1h)
Incidents    1            (previously 1)
Maintenance  3h           (previously 0s)
Monitors     3, 1 new

The uptime covers 69.848 % of the period. For the rest, there is no data: the
monitors did not exist or were paused, unknown or unreachable, or the daemon
was not running.

Monitors, worst first

Monitor      Uptime     Change  Down  Incidents  Covered
Web shop   99.730 %  -0.131 pp    2h          1   30d22h
api       100.000 %      ±0 pp    0s          0    31d1h
new       100.000 %        new    0s          0       3d

Response times

Monitor   Failed checks     p50     p95     p99  p95 trend
Web shop        1 of 31  200 ms  200 ms  200 ms     +100 %
api                   -       -       -       -          -
new                   -       -       -       -          -

Incidents

Began             Duration  Monitor   Reason   Detail
2026-10-06 00:00  2h        Web shop  refused  <b>refused</b>

Maintenance, not counted

2026-10-03 00:00 to 2026-10-03 03:00  Web shop
"""


async def report_of(path: Path) -> Report:
    async with stored_history(path) as history:
        return await october(history)


async def test_report_as_text(tmp_path: Path) -> None:
    assert text_of(await report_of(tmp_path)) == TEXT


class Content(HTMLParser):
    """The texts and the tags of a document. Raises AssertionError if the tags are not nested."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


async def test_html_has_the_content_of_the_text(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    content = Content(html_of(report))
    for monitor in report.monitors:
        assert set(wording.monitor_cells(monitor)) <= set(content.texts)
    for reported in report.incidents:
        assert set(wording.incident_cells(report, reported)) <= set(content.texts)
    for label, value, before in wording.totals(report):
        assert {label, value} <= set(content.texts)
        assert not before or before in content.texts
    assert set(wording.notes(report)) <= set(content.texts)


async def test_html_loads_nothing_and_escapes_text(tmp_path: Path) -> None:
    document = html_of(await report_of(tmp_path))
    content = Content(document)
    assert content.tags.isdisjoint({"script", "img", "style", "link", "iframe"})
    assert content.attributes.isdisjoint({"src", "href", "onclick", "background"})
    assert "url(" not in document
    assert "<b>refused</b>" in content.texts


async def test_report_without_monitors_incidents_and_data(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    empty = replace(
        report, monitors=(), incidents=(), maintenance=(), monitor_count=0, is_stored=False, new_count=0
    )
    text = text_of(empty)
    assert "The history is disabled, so there is no data." in text
    assert text.endswith("\nIncidents\n\nnone\n")
    assert "Monitors, worst first" not in text
    assert {"Incidents", "none"} <= set(Content(html_of(empty)).texts)


async def test_report_of_a_period_without_data_states_it(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    nothing = Figures(Uptime({}, 0.0), 0)
    monitors = tuple(replace(monitor, figures=nothing, checks={}, times=None) for monitor in report.monitors)
    text = text_of(replace(report, total=nothing, monitors=monitors, incidents=()))
    assert "There is no data for this period: the daemon was not running, or" in text
    assert "The uptime covers" not in text
    assert "Monitors, worst first" in text
    assert "Response times" not in text


async def test_report_says_how_much_is_not_listed(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    names = tuple(f"m{number:02}" for number in range(30))
    entry = ReportedMaintenance(OCTOBER.start, OCTOBER.end, names, names)
    cut = replace(
        report,
        monitor_count=10,
        total=replace(report.total, incidents=3),
        maintenance=(entry,),
        maintenance_count=2,
    )
    text = text_of(cut)
    assert "Not listed: 7 monitors with a better uptime.\n" in text
    assert "Not listed: 2 incidents that were shorter.\n" in text
    assert "Not listed: 1 maintenance period that began later.\n" in text
    assert "m00, m01, m02, m03, m04 and 25 more\n" in text
    assert any(found.endswith("m19 and 10 more") for found in Content(html_of(cut)).texts)


async def test_report_of_a_running_period_names_the_end_of_its_data(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    running = replace(report, until=OCTOBER.start + DAY)
    assert "The period has not ended: the data ends at 2026-10-02 00:00.\n" in text_of(running)


async def test_lines_of_the_text_fit_into_a_mail(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    long = replace(report.monitors[0], title="t" * 100)
    lines = text_of(replace(report, monitors=(long,))).splitlines()
    assert [line for line in lines if len(line) > WIDTH and "monitored by" not in line] == []


async def test_detail_of_a_peer_is_one_printable_line_in_local_time(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    reported = report.incidents[0]
    hostile = replace(reported.incident, detail="a\x1b[31m\nb until 2026-10-05 22:00:00 UTC")
    cells = wording.incident_cells(report, replace(reported, incident=hostile))
    assert cells[-1] == "a [31m b until 2026-10-06 00:00:00"


TITLES = [
    (PeriodKind.MONTH, "Monthly report 2026-10"),
    (PeriodKind.WEEK, "Weekly report 2026-W40"),
    (PeriodKind.RANGE, "Report"),
]


@pytest.mark.parametrize(("kind", "title"), TITLES)
async def test_title_names_the_period(tmp_path: Path, kind: PeriodKind, title: str) -> None:
    report = await report_of(tmp_path)
    period = Period(kind, OCTOBER.start, OCTOBER.end, OCTOBER.zone)
    assert wording.title(replace(report, period=period)) == title


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.percent(None), "-"),
        (wording.percent(1.0), "100.000 %"),
        (wording.percent(0.9999999), "99.999 %"),
        (wording.points(None), "-"),
        (wording.points(0.0), "±0 pp"),
        (wording.points(-0.0000001), "±0 pp"),
        (wording.points(0.0012), "+0.120 pp"),
        (wording.trend(None), "-"),
        (wording.trend(0.001), "±0 %"),
        (wording.trend(-0.25), "-25 %"),
        (wording.duration(0), "0s"),
        (wording.duration(59.4), "59s"),
        (wording.duration(3725), "1h2m"),
        (wording.short_time(0.0123), "12.3 ms"),
        (wording.short_time(1.5), "1.50 s"),
        (wording.short_time(90), "1m30s"),
    ],
)
def test_numbers_for_people(shown: str, expected: str) -> None:
    assert shown == expected


async def test_colour_is_that_of_the_worst_state(tmp_path: Path) -> None:
    report = await report_of(tmp_path)
    shop, api, _ = report.monitors
    assert wording.grade(shop.figures) is State.DOWN
    assert wording.grade(api.figures) is State.UP
