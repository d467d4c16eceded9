"""docs/web.md contains all public names, all limits with their defaults, and no broken links."""

import ast
import io
import re
import tokenize
from dataclasses import fields
from pathlib import Path

import pytest

from monitord import web
from monitord.web.routing import CONVERTERS

PAGE = Path(__file__).parents[2] / "docs" / "web.md"
TEXT = PAGE.read_text()


@pytest.mark.parametrize("name", [name for name in web.__all__ if not name.startswith("HTTP")])
def test_every_public_name_is_documented(name: str) -> None:
    assert f"`{name}`" in TEXT or f"`{name}(" in TEXT


@pytest.mark.parametrize("field", fields(web.Limits), ids=lambda field: field.name)
def test_every_limit_is_documented_with_its_default(field: object) -> None:
    name = getattr(field, "name", "")
    default = getattr(field, "default", 0)
    row = re.search(rf"\| `{name}` \| ([\d,]+)( KiB| s)? \|", TEXT)
    assert row is not None
    unit = 1024 if row[2] == " KiB" else 1
    assert int(row[1].replace(",", "")) * unit == default


@pytest.mark.parametrize("kind", [kind for kind in CONVERTERS if kind != "str"])
def test_every_converter_is_documented(kind: str) -> None:
    assert f"`{{name:{kind}}}`" in TEXT


def test_every_module_is_in_the_reading_order() -> None:
    room = Path(web.__file__).parent
    order = TEXT[TEXT.index("## Reading order") :]
    for path in room.glob("*.py"):
        assert path.stem == "__init__" or f"`{path.stem}`" in order, path


def test_size_is_as_documented() -> None:
    said = TEXT[TEXT.index("The modules that process every request") :].partition("\n\n")[0]
    modules, _, sizes = said.partition(")")
    core, whole = (int(number.replace(",", "")) for number in re.findall(r"fewer than (\d,\d+)", sizes))
    lines = {path.stem: code_lines(path) for path in Path(web.__file__).parent.glob("*.py")}
    assert sum(lines[name] for name in re.findall(r"`(\w+)`", modules)) < core
    assert sum(lines.values()) < whole


def code_lines(path: Path) -> int:
    """Count the lines that are neither blank nor only a comment nor part of a docstring."""
    text = path.read_text()
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    nothing = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    used = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in nothing
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(used - docstrings)


def test_every_link_works() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target


INTERNAL_MEMBERS = {
    "Application": {"error_response", "freeze", "handler_for", "response_to"},
    "Request": {"sent_response", "used_exchange"},
    "Response": {"encode", "encode_head", "ends_with_server", "forces_close"},
    "StreamResponse": {"encode_head", "ends_with_server", "forces_close"},
    "Server": {"admit", "connection_count", "remove"},
}
"""Members that the framework itself uses."""


@pytest.mark.parametrize("kind", INTERNAL_MEMBERS)
def test_every_public_member_is_documented(kind: str) -> None:
    members = {name for name in dir(getattr(web, kind)) if not name.startswith("_")}
    undocumented = {name for name in members if not re.search(rf"`[^`]*\b{name}\b[^`]*`", TEXT)}
    assert undocumented == INTERNAL_MEMBERS[kind]
