"""The package contains the documentation for users, and its pages find each other there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

DEBIAN = ROOT / "debian"
INSTALLED = [ROOT / line for line in (DEBIAN / "monitord.docs").read_text().split()]
EXAMPLES = ROOT / "docs" / "examples"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def is_installed(file: Path) -> bool:
    return any(file == path or path in file.parents for path in [*INSTALLED, EXAMPLES])


def test_listed_files_exist() -> None:
    assert [path for path in INSTALLED if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_of_the_guide_are_installed_with_the_pages_that_they_link_to(page: Path) -> None:
    assert is_installed(page)
    targets = [(page.parent / link).resolve() for link in LINK.findall(page.read_text())]
    # Manual pages are installed elsewhere, and architecture.md is for developers.
    docs = ROOT / "docs"
    linked = {target for target in targets if docs in target.parents and docs / "man" not in target.parents}
    assert [target for target in linked - {docs / "architecture.md"} if not is_installed(target)] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "index.md"], ids=["README", "index"])
def test_first_page_links_to_the_guide_and_the_conditions(page: Path) -> None:
    links = {link.removeprefix("docs/") for link in LINK.findall(page.read_text())}
    assert {"guide/index.md", "conditions.md", "glossary.md", "comparison.md"} <= links


def test_all_examples_are_installed() -> None:
    patterns = (DEBIAN / "monitord.examples").read_text().split()
    installed = {file for pattern in patterns for file in ROOT.glob(pattern)}
    missing = {file.name for file in (ROOT / "etc" / "examples").glob("*.*")} - {
        file.name for file in installed
    }
    assert missing == {"demo.py"}  # for developers: `make run`


def test_doc_base_names_the_guide() -> None:
    (files,) = re.findall(
        r"^Files: /usr/share/doc/monitord/(.+)$", (DEBIAN / "monitord.doc-base").read_text(), re.MULTILINE
    )
    assert len(list((ROOT / "docs").glob(files))) > 10


def test_changelog_of_the_package_has_one_entry_before_the_first_release() -> None:
    assert len(re.findall(r"^monitord \(", (DEBIAN / "changelog").read_text(), re.MULTILINE)) == 1
