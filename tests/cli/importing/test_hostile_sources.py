"""Files that are broken, hostile or of another kind: an error that names the file, or a result that is accepted."""

import copy
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitord.cli.importing.draft import Draft
from monitord.cli.importing.formats import FORMATS, detect
from monitord.cli.importing.run import disable_rejected_sections
from monitord.cli.importing.source import MAX_SOURCE_BYTES, MAX_YAML_BYTES, SourceError, read_sources
from monitord.config import ConfigAccess
from monitord.errors import ConfigError
from monitord.settings import read_settings
from tests.cli.importing.cases import SOURCES

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "endpoints: []\na: &a {x: 1}\n" + "".join(
    f"k{number + 1}: &a{number + 1} {{<<: [{','.join([f'*a{number}' if number else '*a'] * 9)}]}}\n"
    for number in range(9)
)

HOSTILE = [
    # PyYAML 6.0.4 has a limit of its own.
    pytest.param("gatus", b"endpoints: " + b"[" * 10_000, r"x:1: .*(too deeply|nesting depth)", id="deep YAML"),
    pytest.param("gatus", b"endpoints:\n" + LAUGHS.encode(), "has more than 200000 values", id="billion laughs"),
    pytest.param("gatus", MERGES.encode(), "has more than 200000 values", id="merges"),
    pytest.param("gatus", b"a: &a [*a]", r"x:1: an alias contains itself", id="recursive alias"),
    pytest.param("gatus", b"a: *b", r"x:1: is not YAML: found undefined alias|x:1: an alias", id="unknown alias"),
    pytest.param("gatus", b"a:\n\t- b", r"x:2: is not YAML: found character", id="tab"),
    pytest.param("gatus", b"a: 2024-99-99", "x: is not YAML: month must be in", id="date"),
    pytest.param("gatus", b"a: !!python/object/apply:os.system [id]", "x:1: is not YAML: could not", id="object"),
    pytest.param("gatus", b"a: !!bool x", "x: is not YAML", id="no boolean"),
    pytest.param("gatus", b'a: !!int ""', "x: is not YAML", id="no number"),
    pytest.param("gatus", b"? [a]\n: b", "x:1: is not YAML|x: is not YAML", id="list as a key"),
    pytest.param("gatus", b"- a", "x: the document is not a mapping", id="list"),
    pytest.param("gatus", b"endpoints: 5", "x: endpoints is not a list", id="number for a list"),
    pytest.param("gatus", b"\xff\xfe", "x: is not UTF-8 text at byte 0; convert it with iconv", id="encoding"),
    pytest.param("gatus", b"#" * (MAX_YAML_BYTES + 1), "x: is larger than 2 MiB", id="large YAML"),
    pytest.param("monit", b"#" * (MAX_SOURCE_BYTES + 1), "x: is larger than 16 MiB", id="large"),
    pytest.param("monit", b"x " * 200_001, "x: has more than 200000 words", id="many words"),
    pytest.param("blackbox", b"modules: []", "x: modules is not a mapping", id="modules"),
    pytest.param("blackbox", b"scrape_configs: [5]", r"x: scrape_configs\[0\] is not a mapping", id="scrape_configs"),
    pytest.param("uptime-kuma", b"[" * 100_000, "x: is nested too deeply", id="deep JSON"),
    pytest.param("uptime-kuma", b'{"monitorList": [', "x:1: is not JSON", id="JSON without an end"),
    pytest.param("uptime-kuma", b'{"monitorList": ' + b"9" * 5000 + b"}", "x: is not JSON: Exceeds", id="long number"),
    pytest.param("uptime-kuma", b'{"monitorList": {}}', "x: monitorList is not a list", id="JSON of another type"),
    pytest.param("uptime-kuma", b'{"monitorList": [5]}', r"x: monitorList\[0\] is not a mapping", id="JSON number"),
    pytest.param("uptime-kuma", b"SQLite format 3\0" + b"\xff" * 5000, "file is not a database", id="broken"),
    pytest.param("uptimerobot", b"a,b\n1,2\n", "x:1: has no columns Friendly Name and URL/IP", id="other CSV"),
    pytest.param("uptimerobot", b"Friendly Name,URL/IP\n" + b"a" * 20_000, "x:2: is not CSV: field", id="long cell"),
    pytest.param("uptimerobot", b"SQLite format 3\0", "x: is not a CSV file", id="database for CSV"),
    pytest.param("monit", b"SQLite format 3\0", "x: is not a control file of monit", id="database for monit"),
    pytest.param("", b"", "x: the format is not recognized; write one of uptime-kuma, gatus", id="empty"),
    pytest.param("", b"\x7fELF", "x: the format is not recognized", id="program"),
    pytest.param("", b"endpoints: [", "x:[12]: is not YAML", id="YAML without an end"),
]  # fmt: skip


@pytest.mark.parametrize(("format_name", "content", "message"), HOSTILE)
def test_hostile_file_is_a_clear_error(
    tmp_path: Path, format_name: str, content: bytes, message: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        translated(str(path), format_name)


def translated(path: str, format_name: str) -> Draft:
    sources = read_sources([path])
    draft = Draft()
    (FORMATS[format_name] if format_name else detect(sources)).translate(sources, draft)
    return draft


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "/none: cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory; write the names of the files in it"),
        ("a\0b", "/a b: cannot be read: embedded null byte"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_sources([f"{tmp_path}/{name}"])


SCHEMAS = [
    pytest.param("CREATE TABLE other (id)", "x: is not a database of Uptime Kuma: it has no table monitor", id="other"),
    pytest.param(
        "CREATE VIEW monitor AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "x: is not a database of Uptime Kuma",
        id="view",
    ),
    pytest.param(
        "CREATE TABLE monitor (id, x AS (hex(zeroblob(100000000)))); INSERT INTO monitor (id) VALUES (1)",
        "x: cannot be read: string or blob too big",
        id="large cell",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("script", "message"), SCHEMAS)
def test_hostile_database_is_a_clear_error(tmp_path: Path, script: str, message: str) -> None:
    path = tmp_path / "x"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    with pytest.raises(SourceError, match=message):
        translated(str(path), "")


def test_large_configuration_in_a_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE monitor (id, body AS (hex(zeroblob(500000))));"
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100)"
            "INSERT INTO monitor (id) SELECT x FROM c"
        )
    with pytest.raises(SourceError, match="x: its configuration is larger than 64 MiB"):
        translated(str(path), "")


def test_database_in_a_pipe_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"SQLite format 3\0",))
    writer.start()
    try:
        with pytest.raises(SourceError, match="x: a database cannot be read from a pipe"):
            read_sources([str(path)])
    finally:
        writer.join()


@pytest.mark.parametrize(
    ("format_name", "text"),
    [
        ("monit", "{" * 200_000),
        ("monit", "check" + " " * 500_000 + "\n" * 500_000),
        ("monit", 'check process a with pidfile b start program = "' + "/etc/init.d/" * 20_000 + '"'),
        ("monit", "set mail-format { " + "from: " * 50_000 + "}"),
        ("", "\n" * 1_000_000),
        ("gatus", "endpoints: [{name: a, url: 'http://x/', conditions: ['" + " " * 90_000 + "']}]"),
        ("gatus", "endpoints: [{name: a, url: '" + "$" * 90_000 + "', conditions: []}]"),
        ("uptimerobot", "Friendly Name,URL/IP\n" + "a,http://x/\n" * 19_000),
    ],
    ids=["braces", "blanks", "unit", "mail", "lines", "condition", "dollars", "equal names"],
)
def test_work_is_linear_in_the_size(tmp_path: Path, format_name: str, text: str) -> None:
    """Work that grows with its square would take minutes, and end with the time limit of the tests."""
    path = tmp_path / "x"
    path.write_text(text)
    try:
        translated(str(path), format_name)
    except SourceError as error:
        assert "not recognized" in str(error)  # noqa: PT017 - an error is one of two outcomes


# Values of other types


WRONG_VALUES: tuple[object, ...] = (
    None,
    5,
    -1,
    1e300,
    "",
    "x",
    "a b\n\"'\\\ud800\u202e",
    "$",
    True,
    [],
    [5],
    {},
    {"a": 5},
)


def places(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*place, key))


def replaced(document: Any, place: tuple[Any, ...], value: object) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if not place:
        return value
    inner[place[-1]] = value
    return changed


def errors_of(folder: Path) -> Callable[[str], list[Any]]:
    """Read the result in this process: a process for each would take minutes."""

    def read(text: str) -> list[Any]:
        file = folder / "imported.toml"
        file.write_text(text)
        try:
            read_settings(file, access=ConfigAccess.OTHER_USER)
        except ConfigError as error:
            return [
                {"path": list(map(str, found.path)), "problem": found.problem, "hint": found.hint}
                for found in error.diagnostics
            ]
        return []

    return read


@pytest.mark.parametrize(
    ("name", "others", "format_name"),
    [
        ("gatus.yaml", (), "gatus"),
        ("blackbox.yml", ("prometheus.yml",), "blackbox"),
        ("prometheus.yml", ("blackbox.yml",), "blackbox"),
        ("uptime-kuma.json", (), "uptime-kuma"),
    ],
)
def test_wrong_value_at_any_place_is_an_error_or_a_comment(
    tmp_path: Path, name: str, others: tuple[str, ...], format_name: str
) -> None:
    document = yaml.safe_load((SOURCES / name).read_text())
    path = tmp_path / name
    for number, place in enumerate(places(document)):
        path.write_text(json.dumps(replaced(document, place, WRONG_VALUES[number % len(WRONG_VALUES)])))
        sources = read_sources([str(path), *(str(SOURCES / other) for other in others)])
        draft = Draft()
        try:
            FORMATS[format_name].translate(sources, draft)
        except SourceError:
            continue
        disable_rejected_sections(draft, [], errors_of(tmp_path))
