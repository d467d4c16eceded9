import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from monitord.config.lines import find_lines
from monitord.config.wording import Path as KeyPath

TRICKY = Path(__file__).with_name("tricky.toml").read_text()

PLACES: list[tuple[KeyPath, int]] = [
    (("first",), 2),
    (("quoted key",), 3),
    (("dotted",), 4),
    (("dotted", "k.e.y", "last"), 4),
    (("raw",), 8),
    (("tab\tand é",), 11),
    (("plain",), 13),
    (("plain", "table"), 13),
    (("plain", "table", "inline", "b.c", 1, "d"), 14),
    (("plain", "table", "inline", "e", "f"), 14),
    (("plain", "table", "list"), 15),
    (("plain", "table", "list", 0), 16),
    (("plain", "table", "list", 1), 17),
    (("plain", "table", "list", 2), 18),
    (("plain", "table", "list", 2, 1), 19),
    (("plain", "table", "list", 3, "in_list"), 19),
    (("plain", "table", "empty"), 21),
    (("plain", "table", "none"), 22),
    (("array",), 24),
    (("array", 0), 24),
    (("array", 0, "name"), 25),
    (("array", 0, "nested", 0, "x"), 27),
    (("array", 0, "nested", 1), 28),
    (("array", 0, "nested", 1, "below", "y"), 31),
    (("array", 1, "name"), 34),
    (("array", 1, "nested", 0, "x"), 36),
    (("late", "sub"), 37),
    (("late",), 39),
    (("late", "z"), 40),
]


@pytest.mark.parametrize(("path", "line"), PLACES, ids=str)
def test_line_of_a_key_is_found(path: KeyPath, line: int) -> None:
    assert find_lines(TRICKY)[path] == line


def test_lines_in_an_inline_table_of_several_lines_are_found() -> None:
    """TOML 1.1, which tomli takes from 2.4 on: line breaks, comments and a last comma."""
    text = 'a = {\n  b = "\\x41\\e", # {\n  c.d = [\n    1,\n  ],\n}\ne = 1\n'
    lines = {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", "d"): 3, ("a", "c", "d", 0): 4, ("e",): 7}
    assert find_lines(text) == lines


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def test_keys_with_lines_are_those_of_the_parser() -> None:
    assert set(find_lines(TRICKY)) == set(paths(tomli.loads(TRICKY)))


# A document is generated as a list of lines and blocks; each value is a number that no other has, and what is
# written around it tries to look like a key.

KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,3}", fullmatch=True),
    st.text(alphabet="ab.=#[]{}'\" \t,é\\\n\u0001", max_size=4),
)
CHAFF = st.sampled_from(
    [
        '"x = 1"',
        "'[x]'",
        '"\\""',
        '"""\n[x]\ny = 2\n\\""""',
        "'''\n#\n[[x]]\n'''''",
        "[ # ]\n'x' , \n]",
        "{}",
        "1e3",
    ]
)


def written(key: str, *, literal: bool) -> str:
    if key and key.isascii() and all(character.isalnum() or character in "_-" for character in key):
        return key
    if literal and not set(key) & set("'\n\u0001"):
        return f"'{key}'"
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in key)
    return f'"{escaped}"'


@st.composite
def documents(draw: st.DrawFn) -> str:
    numbers = iter(range(1_000_000, 2_000_000))

    def key() -> str:
        return written(draw(KEYS), literal=draw(st.booleans()))

    def value(depth: int) -> str:
        kind = draw(st.sampled_from(["number", "number", "list", "table"] if depth else ["number"]))
        if kind == "number":
            return str(next(numbers))
        if kind == "list":
            between = draw(st.sampled_from([", ", ",\n", " # , ]\n,\t"]))
            return (
                "["
                + between.join([value(depth - 1), draw(CHAFF), value(depth - 1)])
                + draw(st.sampled_from([" ]", ",\n]"]))
            )
        return (
            "{ " + ", ".join(f"{key()} = {value(depth - 1)}" for _ in range(draw(st.integers(0, 2)))) + " }"
        )

    lines = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["pair", "pair", "dotted", "chaff", "header", "array", "comment"]))
        name = draw(st.sampled_from([".", " . "])).join(key() for _ in range(draw(st.integers(1, 3))))
        lines.append(
            {
                "pair": f"{key()} = {value(2)}",
                "dotted": f"\t{name} = {value(1)} # x = 1",
                "chaff": f"{key()} = {draw(CHAFF)}",
                "header": f"[{name}]",
                "array": f" [[ {name} ]] # [x]",
                "comment": "# x = 1\n",
            }[kind]
        )
    return "\n".join(lines)


@given(documents())
def test_found_line_contains_the_value(text: str) -> None:
    try:
        values = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return  # the same key twice
    lines = find_lines(text)
    assert set(lines) == set(paths(values))
    for path in lines:
        value: object = values
        for part in path:
            value = value[part]  # type: ignore[index] # the path is one of this very document
        if isinstance(value, int):
            assert str(value) in text.split("\n")[lines[path] - 1]


@pytest.mark.parametrize(
    "value",
    [
        '"' + 300_000 * "x" + '"',
        '"' + 150_000 * r"\n" + '"',
        '"""' + 300_000 * "x" + '"""',
        "'''" + 300_000 * "x" + "'''",
        '"a" ' + 300_000 * "#",
        '"a"' + 75_000 * "\n #y",
    ],
    ids=["basic", "escapes", "multi-line", "multi-line literal", "comment", "comments"],
)
def test_finding_lines_takes_little_memory(value: str) -> None:
    """A regular expression that may go back remembers each step: a text of 10 MB took more than 1 GB."""
    text = f"first = {value}\nlast = 1\n"
    tracemalloc.start()
    try:
        found = find_lines(text)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["last",] == text.count("\n")
    assert peak_bytes < 10 * len(text)


@pytest.mark.parametrize("quotes", ['"', '""'], ids=["one", "two"])
def test_multi_line_string_can_end_in_quotes(quotes: str) -> None:
    text = f'first = """x{quotes}"""\nlast = 1\n'
    assert tomli.loads(text)["first"] == f"x{quotes}"
    assert find_lines(text)["last",] == 2
