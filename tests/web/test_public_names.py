"""The public names of `monitord.web` are those in its `__all__`."""

import ast
import sys
from http import HTTPStatus
from pathlib import Path

from monitord import web
from monitord.web import exceptions

PACKAGE = Path(web.__file__).parent


def test_every_listed_name_exists_and_none_is_listed_twice() -> None:
    assert len(set(web.__all__)) == len(web.__all__)
    for name in web.__all__:
        assert getattr(web, name) is not None


def test_every_imported_name_is_listed() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    listed_there = set(exceptions.__all__)
    assert imported - {"*", "exceptions"} | listed_there == set(web.__all__)


def test_every_http_exception_is_listed_and_has_its_own_status() -> None:
    module = sys.modules["monitord.web.exceptions"]
    kinds = {
        name: kind
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, web.HTTPException)
    }
    assert set(kinds) <= set(web.__all__)
    groups = {"HTTPException", "HTTPClientError", "HTTPServerError", "HTTPRedirection"}
    statuses = [kind.status_code for name, kind in kinds.items() if name not in groups]
    assert len(set(statuses)) == len(statuses)
    unused = {305, 306, 418}  # deprecated, unused, a joke
    client_statuses = {status.value for status in HTTPStatus if status >= 300 and status not in unused}
    webdav = {508}
    assert set(statuses) == client_statuses - webdav


def test_framework_imports_no_other_package() -> None:
    allowed = {"httptools", "multidict", "yarl"} | set(sys.stdlib_module_names)
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).split(".")[0] in allowed, path
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1, path


def test_only_head_imports_httptools() -> None:
    users = {path.name for path in PACKAGE.glob("*.py") if "import httptools" in path.read_text()}
    assert users == {"head.py"}


def test_every_module_has_a_docstring_and_is_small() -> None:
    for path in PACKAGE.glob("*.py"):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), path
        assert text.count("\n") <= 450, path
