"""`monitorctl export-page`: the files of a page in a directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.cli.commands.export_page import _files_of
from monitord.dispatch import Matcher
from monitord.errors import ControlError
from monitord.public_pages.settings import PageSettings
from tests.cli.running_daemon import RunningDaemon, running_daemon

Capture = pytest.CaptureFixture[str]
PAGE = PageSettings("customers", "Example Shop", matcher=Matcher(patterns=("good", "bad")))
COUNT = 11


@asynccontextmanager
async def with_page(tmp_path: Path) -> AsyncIterator[RunningDaemon]:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.public_pages.apply((PAGE,), ())
        yield daemon


def files_in(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Inode and content of each file."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


async def test_page_is_written_as_files_with_relative_links(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "a" / "page"
    async with with_page(tmp_path) as daemon:
        assert await daemon.ctl("export-page", "customers", str(target)) == 0
    assert capsys.readouterr().out == f"{target}: {COUNT} files, {COUNT} changed, 0 removed\n"
    files = files_in(target)
    assert set(files) == {
        *("index.html", "style.css", "page.json", "feed.atom", "maintenance.ics"),
        *("badges/state.svg", "badges/uptime.svg"),
        *(f"badges/{name}/{kind}.svg" for name in ("good", "bad") for kind in ("state", "uptime")),
    }
    assert b"<h1>Example Shop</h1>" in files["index.html"][1]
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o644}


async def test_only_changed_files_are_replaced(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "page"
    async with with_page(tmp_path) as daemon:
        assert await daemon.ctl("export-page", "customers", str(target)) == 0
        before = files_in(target)
        (target / "badges" / "good" / "state.svg").write_text("old")
        capsys.readouterr()
        assert await daemon.ctl("export-page", "customers", str(target)) == 0
    after = files_in(target)
    changed = {path for path in before if before[path][0] != after[path][0]}
    assert "badges/good/state.svg" in changed
    # The page and its data contain the minute of their content.
    assert changed <= {"badges/good/state.svg", "index.html", "page.json", "maintenance.ics"}
    assert after["badges/good/state.svg"][1] == before["badges/good/state.svg"][1]


async def test_stale_files_are_deleted_and_other_files_stay(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "page"
    stale = [target / "badges" / "gone" / name for name in ("state.svg", "uptime.svg")]
    stale += [target / f"logo.{suffix}" for suffix in ("jpg", "png", "svg", "webp")]
    own = [target / "badges" / "own" / "note.txt", target / "robots.txt", target / "logo.psd"]
    for path in (*stale, *own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    async with with_page(tmp_path) as daemon:
        assert await daemon.ctl("export-page", "customers", str(target), "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert not any(path.exists() for path in stale)
    assert not stale[0].parent.exists()
    assert all(path.exists() for path in own)


async def test_unknown_page_is_an_error_that_names_the_pages(tmp_path: Path, capsys: Capture) -> None:
    async with with_page(tmp_path) as daemon:
        assert await daemon.ctl("export-page", "customer", str(tmp_path / "page")) == 1
        assert "did you mean customers?" in capsys.readouterr().err
        daemon.world.public_pages.apply((), ())
        assert await daemon.ctl("export-page", "customer", str(tmp_path / "page")) == 1
        assert "add [pages.NAME] to the configuration" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


async def test_directory_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    async with with_page(tmp_path) as daemon:
        assert await daemon.ctl("export-page", "customers", str(tmp_path / "file" / "page")) == 1
    assert "cannot write the page: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "", ".htaccess", "a//b", "a\\b", "a\0"])
def test_path_outside_of_the_directory_is_rejected(path: str) -> None:
    with pytest.raises(ControlError, match="contains the path"):
        _files_of({"files": [{"path": path, "content_type": "text/html", "body": ""}]})


def test_invalid_content_is_rejected() -> None:
    with pytest.raises(ControlError, match="invalid file"):
        _files_of({"files": [{"path": "a", "content_type": "text/html", "body": "?"}]})
