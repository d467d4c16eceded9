"""docs/architecture.md names modules that exist."""

import re

import pytest

from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"[a-z_0-9/]+\.py\b", TEXT)))
FILES = {
    str(file.relative_to(ROOT))
    for folder in ("monitord", "tests", "bench")
    for file in (ROOT / folder).rglob("*.py")
}


@pytest.mark.parametrize("path", PATHS)
def test_module_exists(path: str) -> None:
    assert any(file == path or file.endswith(f"/{path}") for file in FILES)


def test_modules_are_found() -> None:
    assert len(PATHS) > 50
