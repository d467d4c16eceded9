"""The export of a real database in both formats, streamed."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.cli.client.connection import Client
from monitord.errors import ControlError
from monitord.model import Json, State, Verdict
from monitord.status.api.export import ROWS_AT_ONCE, _pieces
from monitord.status.api.openapi import PREFIX
from tests.cli.running_daemon import running_daemon
from tests.endpoint import asked, make_world
from tests.fakes import monitor_settings
from tests.history.world import result, written
from tests.status.api.test_history import CHECKS, past

PATH = f"{PREFIX}/monitors/good/export"


async def test_json_lines_are_results_oldest_first(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        answer = await it.ask.client.get(PATH)
        newest_first = (await it.ask("GET", "/monitors/good/results?limit=1000")).json()["results"]
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="good.results.jsonl"'
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert len(lines) == CHECKS
    assert lines == newest_first[::-1]


async def test_csv_has_a_header_line_and_a_column_for_each_number(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        answer = await it.ask.client.get(f"{PATH}?format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert len(rows) == CHECKS
    assert [row["verdict"] for row in rows].count("fail") == 3
    assert rows[-1]["phases_s.processing"] == "0.03"
    assert float(rows[-1]["phases_s.tls"]) == 0
    assert {row["detail"] for row in rows} == {"", "GET / 200"}


@pytest.mark.parametrize(
    ("buckets", "step"), [("minute", timedelta(minutes=1)), ("hour", timedelta(hours=1))]
)
async def test_buckets_count_every_check_once(tmp_path: Path, buckets: str, step: timedelta) -> None:
    async with past(tmp_path) as it:
        lines = (await it.ask.client.get(f"{PATH}?buckets={buckets}")).body.decode().splitlines()
        table = (await it.ask.client.get(f"{PATH}?buckets={buckets}&format=csv")).body.decode()
    found = [json.loads(line) for line in lines]
    assert sum(sum(item["checks"].values()) for item in found) == CHECKS
    assert len(found) <= timedelta(minutes=CHECKS) // step + 2
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["from"] for row in rows] == [item["from"] for item in found]
    assert sum(int(row["checks.fail"]) for row in rows) == 3
    assert rows[0]["response_time_s.count"] == str(found[0]["response_time_s"]["count"])


async def test_csv_quotes_text_with_quotes_commas_and_line_ends(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        said = 'he said "no", and\r\nleft;'
        added = result(it.end, Verdict.FAIL, detail=said)
        it.world.history.add_result("good", added, State.DOWN)
        await written(it.world.history)
        answer = await it.ask.client.get(f"{PATH}?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert rows[-1]["detail"] == said


@pytest.mark.parametrize("said", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
async def test_detail_in_csv_is_never_a_spreadsheet_formula(tmp_path: Path, said: str) -> None:
    async with past(tmp_path) as it:
        it.world.history.add_result("good", result(it.end, Verdict.FAIL, detail=said), State.DOWN)
        await written(it.world.history)
        table = await it.ask.client.get(f"{PATH}?format=csv")
        lines = await it.ask.client.get(PATH)
    rows = list(csv.DictReader(io.StringIO(table.body.decode(), newline="")))
    assert rows[-1]["detail"] == f"'{said}"
    assert json.loads(lines.body.splitlines()[-1])["detail"] == said


async def test_file_name_of_a_unit_monitor_has_only_safe_characters() -> None:
    async with asked(make_world(more=[monitor_settings(r"unit:a\x2db@1.service")])) as client:
        answer = await client.get(f"{PREFIX}/monitors/unit:a%5Cx2db@1.service/export")
    assert (
        answer.headers["Content-Disposition"] == 'attachment; filename="unit_a_x2db@1.service.results.jsonl"'
    )


async def test_export_without_history_is_empty_with_a_csv_header_line() -> None:
    async with asked(make_world()) as client:
        assert (await client.get(PATH)).body == b""
        assert (await client.get(f"{PATH}?format=csv")).body.startswith(b"started_at,verdict,state,reason,")


async def test_unknown_monitor_format_or_buckets_are_rejected() -> None:
    async with asked(make_world()) as client:
        unknown = await client.get(f"{PREFIX}/monitors/nobody/export")
        wrong = await client.get(f"{PATH}?format=xml&buckets=week")
    assert unknown.status == 404
    assert wrong.status == 400
    assert {failure["parameter"] for failure in wrong.json()["errors"]} == {"format", "buckets"}


async def test_rows_are_read_while_they_are_sent() -> None:
    read = 0

    async def rows() -> AsyncIterator[Json]:
        nonlocal read
        for number in range(10 * ROWS_AT_ONCE):
            read += 1
            yield {"number": number}
            await asyncio.sleep(0)

    pieces = _pieces(rows(), lambda some: b"%d" % len(some))
    assert await anext(pieces) == b"%d" % ROWS_AT_ONCE
    assert read == ROWS_AT_ONCE
    await pieces.aclose()


async def test_many_results_are_sent_completely_in_several_pieces(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        for number in range(2 * ROWS_AT_ONCE):
            added = result(it.end + timedelta(seconds=number + 1))
            it.world.history.add_result("good", added, State.UP)
        await written(it.world.history)
        answer = await it.ask.client.get(PATH)
    assert len(answer.body.splitlines()) == CHECKS + 2 * ROWS_AT_ONCE


async def test_storage_failure_during_an_export_aborts_the_connection(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as it:
        for number in range(5000):
            it.world.history.add_result("good", result(it.end + timedelta(seconds=number)), State.UP)
        await written(it.world.history)
        stream = Client(it.path).stream(PATH)
        assert await asyncio.to_thread(next, stream)
        await it.world.history.close(5.0)
        with pytest.raises(ControlError, match="the response is incomplete"):
            await asyncio.to_thread(lambda: list(stream))


async def test_storage_failure_before_an_export_is_503(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        await it.world.history.close(5.0)
        answer = await it.ask.client.get(PATH)
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
