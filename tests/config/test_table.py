import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest

from monitord.config import Document, Secret, Table, check_name, read_document
from monitord.errors import ConfigError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


Read = Callable[[str], Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> Document:
        (tmp_path / "x.toml").write_text(text)
        return read_document(tmp_path / "x.toml", environment={"TOKEN": "hunter2"})

    return read


def diagnostics(document: Document) -> list[str]:
    return [str(diagnostic).rpartition("/")[2] for diagnostic in document.diagnostics()]


GETTERS: list[tuple[str, Callable[[Table], object], object]] = [
    ('"a b"', lambda table: table.text("x"), "a b"),
    ('"1m30s"', lambda table: table.duration("x"), 90.0),
    ("5", lambda table: table.duration("x"), 5.0),
    ("0.25", lambda table: table.duration("x"), 0.25),
    ('"2KiB"', lambda table: table.size("x"), 2048),
    ("7", lambda table: table.integer("x", minimum=7, maximum=7), 7),
    ("7", lambda table: table.number("x"), 7.0),
    ("-7.5", lambda table: table.number("x"), -7.5),
    ("true", lambda table: table.flag("x"), True),
    ('"blue"', lambda table: table.choice("x", Colour), Colour.BLUE),
    ('"b"', lambda table: table.choice("x", ["a", "b"]), "b"),
    ("4", lambda table: table.choice("x", ["any", 4, 6]), 4),
    ('"plain"', lambda table: table.secret("x"), Secret("plain")),
    ('{ env = "TOKEN" }', lambda table: table.secret("x"), Secret("hunter2")),
    ('"12"', lambda table: table.value("x", int, default=None), 12),
    ("2026-07-01T20:00:00+02:00", lambda table: table.moment("x"), datetime(2026, 7, 1, 18, tzinfo=UTC)),
    ('["a", "b"]', lambda table: table.texts("x"), ("a", "b")),
    ("[]", lambda table: table.texts("x", default=["a"]), ()),
    ('["1", "2"]', lambda table: table.values("x", int), (1, 2)),
    ('{ a = "b", "c d" = "" }', lambda table: table.mapping("x"), {"a": "b", "c d": ""}),
    (
        '{ a = "b", c = { env = "TOKEN" } }',
        lambda table: table.secrets("x"),
        {"a": Secret("b"), "c": Secret("hunter2")},
    ),
]


@pytest.mark.parametrize(("written", "getter", "value"), GETTERS, ids=[written for written, _, _ in GETTERS])
def test_getter_returns_the_value_in_its_type(
    read: Read, written: str, getter: Callable[[Table], object], value: object
) -> None:
    document = read(f"x = {written}")
    found = getter(document.root)
    document.check()
    assert found == value
    assert type(found) is type(value)


def test_previous_name_of_a_key_leads_to_the_current_name(read: Read) -> None:
    document = read('[a]\nuser = "kim"\n[b]\nuser = "kim"')
    document.root.table("a").text("username", default="")
    document.root.table("b").text("text", default="")
    with pytest.raises(ConfigError) as rejected:
        document.check()
    assert [(found.problem, found.hint) for found in rejected.value.diagnostics] == [
        ("unknown key", 'it is now named "username"'),
        ("unknown key", "remove it, or see monitord.toml(5)"),
    ]


DEFAULTS: list[tuple[Callable[[Table], object], object]] = [
    (lambda table: table.text("x", default="d"), "d"),
    (lambda table: table.text("x", default=None), None),
    (lambda table: table.duration("x", default=2.5), 2.5),
    (lambda table: table.duration("x", default=None), None),
    (lambda table: table.size("x", default=3), 3),
    (lambda table: table.size("x", default=None), None),
    (lambda table: table.integer("x", default=3), 3),
    (lambda table: table.integer("x", default=None), None),
    (lambda table: table.number("x", default=0.5), 0.5),
    (lambda table: table.number("x", default=None), None),
    (lambda table: table.flag("x", default=True), True),
    (lambda table: table.flag("x", default=None), None),
    (lambda table: table.choice("x", Colour, default=Colour.BLUE), Colour.BLUE),
    (lambda table: table.choice("x", Colour, default=None), None),
    (lambda table: table.choice("x", ["a", "b"], default="b"), "b"),
    (lambda table: table.choice("x", ["a", "b"], default=None), None),
    (lambda table: table.secret("x", default=Secret("d")), Secret("d")),
    (lambda table: table.secret("x", default=None), None),
    (lambda table: table.value("x", int, default=7), 7),
    (lambda table: table.texts("x", default=["a"]), ("a",)),
    (lambda table: table.values("x", int, default=[1]), (1,)),
    (lambda table: table.mapping("x", default={"a": "b"}), {"a": "b"}),
    (lambda table: table.secrets("x", default={"a": Secret("b")}), {"a": Secret("b")}),
]


@pytest.mark.parametrize(("getter", "default"), DEFAULTS)
def test_missing_and_rejected_values_become_the_default(
    read: Read, getter: Callable[[Table], object], default: object
) -> None:
    missing = read("")
    assert getter(missing.root) == default
    missing.check()
    rejected = read("x = 1979-05-27")
    assert getter(rejected.root) == default
    assert len(rejected.diagnostics()) == 1


REQUIRED: list[tuple[Callable[[Table], object], str]] = [
    (lambda table: table.text("x"), 'add x = "…"'),
    (lambda table: table.duration("x"), 'add x = "30s"'),
    (lambda table: table.size("x"), 'add x = "1MiB"'),
    (lambda table: table.integer("x"), "add x = 1"),
    (lambda table: table.number("x"), "add x = 1.0"),
    (lambda table: table.flag("x"), "add x = true"),
    (lambda table: table.choice("x", Colour), 'add x = "red"'),
    (lambda table: table.choice("x", [4, 6]), "add x = 4"),
    (lambda table: table.secret("x"), 'add x = { credential = "…" }'),
    (lambda table: table.value("x", int, default=0, required=True), 'add x = "…"'),
    (lambda table: table.texts("x"), 'add x = ["…"]'),
    (lambda table: table.values("x", int), 'add x = ["…"]'),
    (lambda table: table.mapping("x"), "add x = { … }"),
    (lambda table: table.secrets("x"), "add x = { … }"),
]


@pytest.mark.parametrize(("getter", "hint"), REQUIRED, ids=[hint for _, hint in REQUIRED])
def test_key_without_a_default_is_required(read: Read, getter: Callable[[Table], object], hint: str) -> None:
    document = read("# nothing\n[table]")
    getter(document.root.table("table"))
    assert diagnostics(document) == [f"x.toml:2: table.x: missing; {hint}"]


def test_missing_and_rejected_required_values_are_placeholders_of_their_type(read: Read) -> None:
    document = read("x = []")
    root = document.root
    assert isinstance(root.text("x"), str)
    assert root.duration("x") > 0
    assert root.size("x") > 0
    assert root.choice("x", Colour) in Colour
    assert root.secret("x") == Secret("")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1" + "0" * 400])
def test_number_that_is_not_finite_is_rejected(read: Read, number: str) -> None:
    document = read(f"x = {number}")
    assert math.isfinite(document.root.number("x", default=1.0))
    assert len(document.diagnostics()) == 1


def test_table_inherits_missing_keys(read: Read) -> None:
    document = read("""
        [defaults]
        timeout = 5
        tags = ["all"]
        tls.verify = false
        [monitors.a]
        timeout = 3
        tls.ca = "file"
        [monitors.b]
    """)
    defaults = document.root.table("defaults")
    tables = document.root.named("monitors", over=defaults)
    assert {name: table.duration("timeout") for name, table in tables.items()} == {"a": 3.0, "b": 5.0}
    assert tables["a"].texts("tags") == ("all",)
    assert ("timeout" in tables["a"], "timeout" in tables["b"]) == (True, False)
    assert [
        (table.table("tls").flag("verify"), table.table("tls").text("ca", default=""))
        for table in tables.values()
    ] == [
        (False, "file"),
        (False, ""),
    ]
    document.check()


def test_invalid_inherited_value_is_reported_once_at_its_line(read: Read) -> None:
    document = read(
        "[defaults]\ntimeout = 'soon'\n[monitors]\n" + "".join(f"m{number} = {{}}\n" for number in range(50))
    )
    for table in document.root.named("monitors", over=document.root.table("defaults")).values():
        assert table.duration("timeout", default=2.0) == 2.0
        table.error("timeout", "is no good either")
    (diagnostic,) = diagnostics(document)
    assert diagnostic.startswith(
        'x.toml:2: defaults.timeout: "soon" is not a duration; write a duration such as '
    )


def test_default_that_every_monitor_overrides_is_a_known_key(read: Read) -> None:
    document = read("[defaults]\ntimeout = 5\n[monitors.a]\ntimeout = 3")
    document.root.named("monitors", over=document.root.table("defaults"))["a"].duration("timeout")
    document.check()


def test_error_of_the_caller_names_the_key_the_table_or_the_inherited_table(
    read: Read,
) -> None:
    document = read("[defaults]\na = 'a'\n\n[monitors.shop]\nb = 'b'")
    table = document.root.named("monitors", over=document.root.table("defaults"))["shop"]
    table.error("a", "one")
    table.error("", "two", "do this")
    table.error("b", "three")
    table.error("c", "four")
    assert diagnostics(document) == [
        "x.toml:2: defaults.a: one",
        "x.toml:4: monitors.shop: two; do this",
        "x.toml:4: monitors.shop.c: four",
        "x.toml:5: monitors.shop.b: three",
    ]


def test_unknown_keys_are_found_in_every_table_that_was_read(read: Read) -> None:
    document = read("[a.b]\nknown = 'x'\nknwon = 'x'\n[[c]]\nd = 1\n[e]\nf = 1")
    document.root.table("a").table("b").text("known")
    document.root.tables("c")
    document.root.finish()
    assert diagnostics(document) == [
        'x.toml:3: a.b.knwon: unknown key; did you mean "known"?',
        "x.toml:5: c[0].d: unknown key; remove it, or see monitord.toml(5)",
        "x.toml:6: e: unknown section; the sections are a and c",
    ]


def test_ignored_table_reports_no_other_keys(read: Read) -> None:
    document = read("[a]\ntype = 'nonsense'\nb = 1")
    table = document.root.table("a")
    table.text("type")
    table.error("type", "is no type")
    table.ignore_others()
    document.root.finish()
    assert diagnostics(document) == ["x.toml:2: a.type: is no type"]


def test_inner_table_is_the_same_object_each_time(read: Read) -> None:
    document = read("[a]\nb = 'b'\nc = 'c'\n[[d]]\n[e.f]")
    document.root.table("a").text("b")
    document.root.table("a").text("c")
    assert document.root.tables("d")[0] is document.root.tables("d")[0]
    assert document.root.named("e")["f"] is document.root.named("e")["f"]
    document.check()


def test_value_that_is_not_a_table_has_no_missing_keys(read: Read) -> None:
    document = read("a = 1")
    document.root.table("a").text("b")
    document.root.table("a").table("c").text("d")
    assert diagnostics(document) == ["x.toml:1: a: 1 is not a table; write it as [a]"]


def test_table_has_its_name(read: Read) -> None:
    document = read("[monitors.shop]")
    table = document.root.named("monitors")["shop"]
    assert (table.name, document.root.name, repr(table)) == ("shop", "", "<Table monitors.shop>")


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "0", "x" * 100])
def test_valid_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "_a", "a b", "a/b", "a\n", "é", "a\0"])
def test_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a name; write "):
        check_name(name)
