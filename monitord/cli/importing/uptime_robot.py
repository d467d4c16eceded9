"""UptimeRobot: monitors as CSV, as exported from the dashboard or prepared for its bulk import.

The columns are found by their names: ID, Type, Status, Friendly Name, URL/IP, Interval, Keyword Type, Keyword Value,
Port, and others that newer exports have. https://uptimerobot.com/api/ describes the numbers of the types.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from monitord.cli.importing.conversion import address_of, clean_tag, escaped_pattern, host_and_port, literal
from monitord.cli.importing.draft import Draft, DraftSection, quoted
from monitord.cli.importing.source import FieldError, ImportSource, SourceError, naming_file

MAX_ROWS = 20_000
MAX_CELL_CHARACTERS = 10_000
DEFAULT_INTERVAL_S = 300.0
DEFAULT_TIMEOUT_S = 30.0

_COLUMNS = {
    "type": ("type", "monitortype"),
    "name": ("friendlyname", "name", "monitorname"),
    "url": ("urlip", "url", "monitorurl", "urliphost"),
    "interval": ("interval", "monitoringinterval", "checkinterval"),
    "keyword_type": ("keywordtype",),
    "keyword_case": ("keywordcasetype",),
    "keyword": ("keywordvalue", "keyword"),
    "port": ("port",),
    "sub_type": ("subtype",),
    "status": ("status",),
    "method": ("httpmethod", "method"),
    "user": ("httpusername", "username"),
    "password": ("httppassword", "password"),
    "tags": ("tags", "tag", "group"),
    "contacts": ("alertcontact", "alertcontacts"),
    "timeout": ("timeout",),
}
_TYPES = {"1": "http", "2": "keyword", "3": "ping", "4": "port", "5": "heartbeat"}
_SERVICES = {"1": 80, "http": 80, "2": 443, "https": 443, "3": 21, "ftp": 21, "4": 25, "smtp": 25} | {
    "5": 110,
    "pop3": 110,
    "6": 143,
    "imap": 143,
}
_METHODS = {"1": "HEAD", "2": "GET", "3": "POST", "4": "PUT", "5": "PATCH", "6": "DELETE", "7": "OPTIONS"}
_SECONDS = {120, 180, 300, 600, 900, 1800, 3600, 43_200, 86_400}
"""Intervals that are certainly in seconds: in minutes, they would be hours or days."""

Record = Mapping[str, str]


def recognizes(text: str) -> bool:
    header = text.lstrip("\ufeff").partition("\n")[0]
    columns = {_plainer(cell) for cell in re.split(r"[,;\t]", header)}
    return bool(columns & {"urlip", "monitorurl"}) and bool(columns & {"friendlyname", "monitorname", "name"})


def translate(sources: Sequence[ImportSource], draft: Draft) -> None:
    for source in sources:
        if source.is_database:
            raise SourceError(f"{source.name}: is not a CSV file")
        records = _records(source)
        minutes = not any(_number(record["interval"]) in _SECONDS for record in records)
        contacts = False
        for number, record in enumerate(records, start=2):
            contacts = contacts or bool(record["contacts"])
            with naming_file(source):
                _read_monitor(record, number, draft, interval_factor_s=60.0 if minutes else 1.0)
        if contacts:
            draft.leave_out(
                "alert contacts",
                "the file has only their numbers; write [notifiers.NAME], see monitord-notifiers(5)",
            )


def _records(source: ImportSource) -> list[dict[str, str]]:
    header = source.text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    records: list[dict[str, str]] = []
    rows = csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter)
    try:
        names = [_plainer(cell) for cell in next(rows, [])]
        places = {
            key: next((names.index(name) for name in known if name in names), None)
            for key, known in _COLUMNS.items()
        }
        if places["url"] is None or places["name"] is None:
            raise SourceError(f"{source.name}:1: has no columns Friendly Name and URL/IP")
        for row in rows:
            if any(cell.strip() for cell in row):
                records.append(
                    {
                        key: row[place].strip() if place is not None and place < len(row) else ""
                        for key, place in places.items()
                    }
                )
            if len(records) > MAX_ROWS:
                raise SourceError(f"{source.name}: has more than {MAX_ROWS} rows")
    except csv.Error as error:
        raise SourceError(f"{source.name}:{rows.line_num}: is not CSV: {error}") from None
    return records


def _plainer(cell: str) -> str:
    return re.sub(r"[^a-z]", "", cell.lower())


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text) else 0.0


def _read_monitor(record: Record, number: int, draft: Draft, *, interval_factor_s: float) -> None:
    section = draft.monitor(record["name"] or record["url"] or f"row-{number}", record["url"])
    kind = _kind_of(record["type"])
    try:
        _read_type(kind, record, section)
        interval_s = _number(record["interval"]) * interval_factor_s or DEFAULT_INTERVAL_S
        if kind != "heartbeat":
            section.set_durations(interval_s, _number(record["timeout"]) or DEFAULT_TIMEOUT_S, None)
    except ValueError as error:
        section.values.setdefault("url", record["url"])
        section.disable(str(error))
    tags = [clean_tag(tag) for tag in re.split(r"[,|]", record["tags"]) if clean_tag(tag)]
    if tags:
        section.values["tags"] = tags
    if record["status"].lower() in {"0", "paused", "stopped"}:
        section.disable("it is paused in UptimeRobot")


def _kind_of(text: str) -> str:
    text = text.lower()
    if text in _TYPES:
        return _TYPES[text]
    for kind in ("keyword", "ping", "port", "heartbeat", "http"):
        if kind in text:
            return kind
    return "port" if text == "tcp" else text or "http"


def _read_type(kind: str, record: Record, section: DraftSection) -> None:
    values, url = section.values, record["url"]
    match kind:
        case "http" | "keyword":
            if not url:
                raise FieldError("it has no URL")
            values["url"] = url if "://" in url else f"http://{url}"
            method = _METHODS.get(record["method"], record["method"].upper())
            if method and method != "GET" and not (kind == "keyword" and method == "HEAD"):
                values["method"] = method
            if record["user"]:
                values["basic_auth"] = {"username": record["user"], "password": record["password"]}
            if kind == "keyword":
                # The status must be good as well.
                values["up_when"] = ["status < 400", _keyword_condition(record)]
        case "ping":
            values["type"] = "icmp"
            values["host"] = re.sub(r"^[a-z]+://", "", url).split("/")[0].strip("[]")
        case "port":
            values["type"] = "tcp"
            port = _SERVICES.get(record["sub_type"].lower()) or int(_number(record["port"]))
            host = re.sub(r"^[a-z]+://", "", url).split("/")[0]
            values["address"] = address_of(host, port) if port else host_and_port(host)
        case "heartbeat":
            values["type"], values["every"] = "heartbeat", "1d"
            section.disable(
                f"set every to the interval of the job; the job runs: monitorctl heartbeat {section.name}"
            )
        case _:
            values["url"] = url
            section.disable(f"the type {quoted(record['type'])} has no counterpart")


def _keyword_condition(record: Record) -> str:
    keyword, kind = record["keyword"], record["keyword_type"].lower()
    if not keyword:
        raise FieldError("it has no keyword")
    if record["keyword_case"].lower() in {"0", "case sensitive", "casesensitive"}:
        condition = f"body contains {literal(keyword)}"
    else:
        condition = f"body matches {literal(f'(?i){escaped_pattern(keyword)}')}"
    # The type defines when an incident begins: 1 if the keyword exists, 2 if it does not.
    return condition if kind in {"2", "not exists", "notexists", "not_exists"} else f"not {condition}"
