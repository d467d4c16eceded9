"""monitorctl post, posts, edit-post and delete-post."""

import io
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.cli.control_command import main
from monitord.model import PostStatus
from monitord.posts import Post
from tests.cli.running_daemon import RunningDaemon, running_daemon

Capture = pytest.CaptureFixture[str]


@asynccontextmanager
async def daemon_with_pages(tmp_path: Path, *pages: str) -> AsyncIterator[RunningDaemon]:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.posts.apply(pages or ("main", "eu"))
        yield daemon


def only_post(daemon: RunningDaemon) -> Post:
    (post,) = daemon.world.posts.all()
    return post


async def test_post_is_created_and_updated(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        created = await daemon.ctl(
            "post", "main", "--title", "Slow checkout", "--status", "identified", "Why."
        )
        post = only_post(daemon)
        assert (created, capsys.readouterr().out) == (
            0,
            f"{post.id}: created on page main; status: identified\n",
        )
        assert await daemon.ctl("post", "main", "--update", post.id, "--status", "resolved", "Fixed.") == 0
        assert capsys.readouterr().out == f"{post.id}: updated on page main; status: resolved\n"
        post = only_post(daemon)
    assert post.title == "Slow checkout"
    assert [(update.status, update.text) for update in post.updates] == [
        (PostStatus.IDENTIFIED, "Why."),
        (PostStatus.RESOLVED, "Fixed."),
    ]


async def test_status_is_investigating_first_and_then_kept(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        assert await daemon.ctl("post", "main", "a", "--title", "Slow") == 0
        assert only_post(daemon).status is PostStatus.INVESTIGATING
        await daemon.ctl("post", "main", "--update", only_post(daemon).id, "--status", "monitoring", "b")
        await daemon.ctl("post", "main", "--update", only_post(daemon).id, "c")
        assert only_post(daemon).status is PostStatus.MONITORING
    assert capsys.readouterr().err == ""


async def test_text_is_read_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("First.\n\nSecond.\n"))
    async with daemon_with_pages(tmp_path) as daemon:
        assert await daemon.ctl("post", "main", "--title", "Slow", "-") == 0
        assert only_post(daemon).updates[0].text == "First.\n\nSecond."


async def test_update_names_the_page_of_its_post(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        post = daemon.world.posts.create("main", "Slow", PostStatus.IDENTIFIED, "a", "kim")
        assert await daemon.ctl("post", "eu", "--update", post.id, "b") == 1
        assert only_post(daemon) == post
    assert capsys.readouterr().err == f"monitorctl: post {post.id} is not on page 'eu'; write main\n"


async def test_edit_replaces_the_last_or_the_given_update(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        post = daemon.world.posts.create("main", "Slow", PostStatus.IDENTIFIED, "a", "kim")
        daemon.world.posts.update(post.id, PostStatus.RESOLVED, "b", "kim")
        assert await daemon.ctl("edit-post", post.id, "B") == 0
        assert await daemon.ctl("edit-post", post.id, "A", "--number", "1") == 0
        assert capsys.readouterr().out == f"{post.id}: update 2 edited\n{post.id}: update 1 edited\n"
        assert [update.text for update in only_post(daemon).updates] == ["A", "B"]
        assert await daemon.ctl("edit-post", post.id, "C", "--number", "3") == 1
        assert capsys.readouterr().err == "monitorctl: the post has no update '3'; the last update is 2\n"


async def test_delete_reports_unknown_posts_and_deletes_the_others(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        post = daemon.world.posts.create("main", "Slow", PostStatus.IDENTIFIED, "a", "kim")
        assert await daemon.ctl("delete-post", "0000", post.id, post.id) == 1
        assert daemon.world.posts.all() == ()
    out, err = capsys.readouterr()
    assert out == f"{post.id}: deleted\n"
    assert err == "monitorctl: no post has the ID '0000'; monitorctl posts lists the posts\n"


async def test_posts_are_listed_with_a_note_for_removed_pages(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        posts = daemon.world.posts
        first = posts.create("main", "Slow", PostStatus.IDENTIFIED, "a", "kim")
        second = posts.create("eu", "Down", PostStatus.INVESTIGATING, "b", "kim")
        posts.apply(["main"])
        assert await daemon.ctl("posts") == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"ID +STATUS +CREATED \(\w+\) +PAGE +TITLE", head)
        words = [re.split(" {2,}", row) for row in rows]
        assert [(row[0], row[1], row[3], row[4]) for row in words] == [
            (second.id, "investigating", "eu (not configured)", "Down"),
            (first.id, "identified", "main", "Slow"),
        ]
        assert await daemon.ctl("posts", "eu") == 0
        assert len(capsys.readouterr().out.splitlines()) == 2
        assert await daemon.ctl("posts", "main", "--json") == 0
        assert [post["id"] for post in json.loads(capsys.readouterr().out)["posts"]] == [first.id]


async def test_updates_are_shown_from_the_newest_to_the_oldest(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        posts = daemon.world.posts
        post = posts.create("main", "Slow", PostStatus.IDENTIFIED, "First.\n\nMore.", "kim")
        posts.update(post.id, PostStatus.RESOLVED, "Fxed.", "bo")
        posts.edit(post.id, 2, "Fixed.", "ann")
        assert await daemon.ctl("posts", "--updates") == 0
    lines = capsys.readouterr().out.splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    expected = [
        f"{post.id}  Slow",
        "page main",
        rf"  2  resolved, {time} \S+ by bo, edited {time} by ann",
        r"     Fixed\.",
        rf"  1  identified, {time} by kim",
        r"     First\.",
        "",
        r"     More\.",
    ]
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


async def test_no_posts_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        assert await daemon.ctl("posts") == 0
        assert await daemon.ctl("posts", "main") == 0
    assert capsys.readouterr().out == "no posts\nno posts\n"


@pytest.mark.parametrize(
    ("pages", "hint"),
    [(("main", "eu"), "did you mean main?"), (("abc",), "configured pages: abc")],
    ids=["similar", "other"],
)
@pytest.mark.parametrize(
    "command", [["posts", "mian"], ["post", "mian", "--title", "Slow", "a"]], ids=" ".join
)
async def test_unknown_page_is_reported_with_the_nearest(
    tmp_path: Path, capsys: Capture, pages: tuple[str, ...], hint: str, command: list[str]
) -> None:
    async with daemon_with_pages(tmp_path, *pages) as daemon:
        assert await daemon.ctl(*command) == 1
    assert capsys.readouterr().err.endswith(f"no public page has the name 'mian'; {hint}\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["post", "main", "a"], "one of the arguments --title --update is required"),
        (["post", "main", "a", "--title", "Slow", "--update", "0000"], "not allowed with argument"),
        (["post", "main", "--title", "Slow"], "the following arguments are required: TEXT"),
        (["post", "main", "a", "--title", "Slow", "--status", "open"], "invalid choice: 'open'"),
        (["edit-post", "0000", "a", "--number", "0"], "argument --number"),
        (["delete-post"], "the following arguments are required: POST"),
    ],
    ids=["neither title nor update", "both", "no text", "status", "number", "no post"],
)
def test_incomplete_command_is_a_usage_error(capsys: Capture, arguments: list[str], error: str) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(arguments)
    assert error in capsys.readouterr().err


async def test_text_of_other_users_cannot_control_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    async with daemon_with_pages(tmp_path) as daemon:
        assert await daemon.ctl("post", "main", "--title", "\x1b]0;owned\x07", "\x9b2J\x1b[31mred") == 0
        assert await daemon.ctl("posts") == 0
        assert await daemon.ctl("posts", "--updates") == 0
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", capsys.readouterr().out) is None
