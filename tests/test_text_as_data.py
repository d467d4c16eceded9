"""Composed sentences are for people: no code parses or compares them."""

import ast
from pathlib import Path

import pytest

import monitord

PACKAGE = Path(monitord.__file__).parent

SEPARATORS = ("; ", ": ", " (")
"""Separators of the package's own sentences. Foreign formats are split at ";", ":" or "="."""

SPLITTING = {"partition", "rpartition", "split", "rsplit"}
SEARCHING = {
    "startswith",
    "endswith",
    "find",
    "index",
    "removeprefix",
    "removesuffix",
    "count",
    "splitlines",
} | SPLITTING
MATCHING = {"match", "search", "fullmatch", "finditer", "findall", "sub"}
SENTENCES = {"detail", "why", "problem", "hint", "outcome", "summary", "said", "sentence", "title"}
"""Variables, attributes and keys that hold sentences. They are only compared with each other or with an empty text."""
ERRORS = {"error", "failure", "exception", "exc"}


def violations(source: str, *, with_raises: bool = True) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, separator = node.func.attr, _text(node.args[0]) if node.args else None
            if (method in SPLITTING and separator in SEPARATORS) or (
                (method in SEARCHING and _is_sentence(node.func.value) and not _joins_lines(node))
                or (method in MATCHING and any(map(_is_text_of_error, node.args)))
            ):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif with_raises and isinstance(node, ast.Raise) and _joins_a_hint(node.exc):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(_is_sentence, sides)) and any(map(_text, sides)):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def _is_sentence(node: ast.expr) -> bool:
    """Return whether this is the text of an exception, or has the name of a sentence."""
    match node:
        case ast.Name(id=name):
            return name in SENTENCES | ERRORS
        case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name in SENTENCES
    return _is_text_of_error(node)


def _is_text_of_error(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in ERRORS
    return False


def _joins_a_hint(exception: ast.expr | None) -> bool:
    """Return whether a ValueError joins problem and hint in its text. An InvalidValueError carries both."""
    match exception:
        case ast.Call(func=ast.Name(id="ValueError"), args=[ast.Constant() | ast.JoinedStr() as text]):
            return any(
                "; " in (_text(part) or "") for part in ast.walk(text) if isinstance(part, ast.Constant)
            )
    return False


def _joins_lines(call: ast.Call) -> bool:
    """`split()` without a separator normalizes the white space of a shown text."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "split" and not call.args


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@pytest.mark.parametrize(
    "component", sorted({file.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*.py")})
)
def test_no_module_parses_a_composed_sentence(component: str) -> None:
    files = (
        sorted((PACKAGE / component).rglob("*.py"))
        if (PACKAGE / component).is_dir()
        else [PACKAGE / component]
    )
    # Two components do not use the errors of this program, which consist of problem and hint.
    with_raises = component not in {"web", "systemd"}
    found = [
        f"{file.relative_to(PACKAGE)}:{violation}"
        for file in files
        for violation in violations(file.read_text(), with_raises=with_raises)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'text.partition("; ")',
        'name.rsplit(": ", 1)',
        "str(error).partition(';')",
        'str(error).startswith("no ")',
        '"range" in str(error)',
        'result.observation.detail.endswith("missed")',
        'one["why"].startswith(TOLD)',
        "why.startswith(TOLD)",
        "_QUOTED.search(str(error))",
        "error.splitlines()",
        'last["observation"]["detail"] == "refused"',
        'failure.problem == "missing"',
        'raise ValueError("is not a string; write it in quotes")',
        'raise ValueError(f"is not {kind}; write {example}") from None',
    ],
)
def test_each_form_of_parsing_is_found(source: str) -> None:
    assert len(violations(source)) == 1


@pytest.mark.parametrize("source", ['header.partition(":")', "error.hint == other.hint", 'str(error) + "; "'])
def test_formats_of_others_are_allowed(source: str) -> None:
    assert violations(source) == []
