"""Posts on public pages: their life, their limits, their log messages with the client, and their storage."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord import posts as module
from monitord.errors import ControlError, InvalidValueError
from monitord.journal_events import JournalEvent
from monitord.posts import Post, Posts, PostStatus, PostUpdate, UnknownPageError, clean_text, clean_title
from tests.fakes import FakeClock
from tests.history.world import spoil_table
from tests.worlds import World

KIM, BO = "kim (uid 1000)", "token deploy, from 192.0.2.7"
INVESTIGATING, RESOLVED = PostStatus.INVESTIGATING, PostStatus.RESOLVED


class Storage:
    """The stored records as JSON text, as a database has them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def store(self, key: str, record: Mapping[str, Any] | None) -> None:
        if record is None:
            del self.texts[key]
        else:
            self.texts[key] = json.dumps(record)

    @property
    def records(self) -> dict[str, Any]:
        return {key: json.loads(text) for key, text in self.texts.items()}


class SteppedClock(FakeClock):
    """Advances with each reading of the wall clock, by a minute unless the test says otherwise."""

    def __init__(self, step_s: float = 60.0) -> None:
        super().__init__()
        self._step = timedelta(seconds=step_s)
        self._now = datetime(2026, 11, 26, 14, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += self._step
        return self._now


def posts_of(storage: Storage, *pages: str, step_s: float = 60.0) -> Posts:
    posts = Posts(SteppedClock(step_s), storage.store, storage.records)
    posts.apply(pages or ("main",))
    return posts


async def test_post_has_its_updates_with_status_time_and_author() -> None:
    posts = posts_of(Storage())
    created = posts.create("main", "Slow checkout", INVESTIGATING, "We look into it.", KIM)
    assert (created.page, created.title, created.status) == ("main", "Slow checkout", INVESTIGATING)
    updated = posts.update(created.id, RESOLVED, "Fixed.", BO)
    assert updated.updates == (
        created.updates[0],
        PostUpdate(updated.updates[1].at, RESOLVED, "Fixed.", BO),
    )
    assert updated.updates[1].at - updated.created_at == timedelta(minutes=1)
    assert updated.status is RESOLVED
    assert posts.get(created.id) == updated


async def test_edit_replaces_the_text_and_keeps_time_status_and_author() -> None:
    posts = posts_of(Storage())
    first = posts.create("main", "Slow", INVESTIGATING, "Teh checkout is slow.", KIM)
    posts.update(first.id, RESOLVED, "Fixed.", KIM)
    edited = posts.edit(first.id, 1, "The checkout is slow.", BO).updates[0]
    assert (edited.text, edited.edited_by) == ("The checkout is slow.", BO)
    assert edited.edited_at == first.created_at + timedelta(minutes=2)
    assert (edited.at, edited.status, edited.author) == (first.created_at, INVESTIGATING, KIM)
    assert [update.text for update in posts.get(first.id).updates] == ["The checkout is slow.", "Fixed."]


async def test_posts_of_a_page_are_sorted_from_the_newest_to_the_oldest() -> None:
    posts = posts_of(Storage(), "main", "eu")
    first = posts.create("main", "First", INVESTIGATING, "a", KIM)
    posts.create("eu", "Other", INVESTIGATING, "b", KIM)
    second = posts.create("main", "Second", INVESTIGATING, "c", KIM)
    posts.update(first.id, RESOLVED, "d", KIM)
    assert [post.id for post in posts.of_page("main")] == [second.id, first.id]
    assert [post.title for post in posts.all()] == ["Second", "Other", "First"]
    assert posts.of_page("none") == ()


async def test_posts_of_the_same_moment_are_sorted_by_their_creation() -> None:
    posts = posts_of(Storage(), step_s=0.0)
    for title in "abc":
        posts.create("main", title, INVESTIGATING, "x", KIM)
    assert [post.title for post in posts.of_page("main")] == ["c", "b", "a"]


async def test_every_change_is_stored_before_the_next_run() -> None:
    storage = Storage()
    posts = posts_of(storage)
    kept = posts.create("main", "Kept", INVESTIGATING, "a\nb", KIM)
    posts.update(kept.id, RESOLVED, "c", BO)
    posts.edit(kept.id, 2, "d", KIM)
    deleted = posts.create("main", "Deleted", INVESTIGATING, "x", KIM)
    posts.delete(deleted.id, KIM)
    assert posts_of(storage).all() == posts.all() == (posts.get(kept.id),)


async def test_revision_increases_with_every_change() -> None:
    posts = posts_of(Storage())
    revisions = [posts.revision]
    post = posts.create("main", "Slow", INVESTIGATING, "a", KIM)
    revisions.append(posts.revision)
    posts.update(post.id, RESOLVED, "b", KIM)
    revisions.append(posts.revision)
    posts.edit(post.id, 1, "c", KIM)
    revisions.append(posts.revision)
    posts.delete(post.id, KIM)
    revisions.append(posts.revision)
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize(
    ("pages", "name", "error"),
    [
        ((), "main", r"no public page is configured; add \[pages\.main\]"),
        (("main", "eu"), "mian", r"no public page has the name 'mian'; did you mean main\?"),
        (("main", "eu"), "xyz", "no public page has the name 'xyz'; configured pages: eu, main"),
    ],
    ids=["no page", "similar name", "other name"],
)
async def test_post_on_a_page_that_is_not_configured_is_rejected(
    pages: tuple[str, ...], name: str, error: str
) -> None:
    posts = Posts(FakeClock())
    posts.apply(pages)
    with pytest.raises(UnknownPageError, match=error):
        posts.create(name, "Slow", INVESTIGATING, "a", KIM)
    assert posts.all() == ()


async def test_posts_of_a_removed_page_are_kept_and_can_be_changed() -> None:
    posts = posts_of(Storage())
    post = posts.create("main", "Slow", INVESTIGATING, "a", KIM)
    posts.apply(["eu"])
    assert (posts.all(), posts.is_page("main"), posts.pages) == ((post,), False, ["eu"])
    posts.update(post.id, RESOLVED, "b", KIM)
    posts.delete(post.id, KIM)
    assert posts.all() == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda posts: posts.update("0000", RESOLVED, "a", KIM),
        lambda posts: posts.edit("0000", 1, "a", KIM),
        lambda posts: posts.delete("0000", KIM),
        lambda posts: posts.get("0000"),
        lambda posts: posts.edit(posts.all()[0].id, 0, "a", KIM),
        lambda posts: posts.edit(posts.all()[0].id, 2, "a", KIM),
    ],
    ids=["update", "edit", "delete", "get", "update 0", "update after the last"],
)
async def test_change_of_a_post_or_update_that_does_not_exist_is_a_key_error(change: Any) -> None:
    posts = posts_of(Storage())
    post = posts.create("main", "Slow", INVESTIGATING, "a", KIM)
    with pytest.raises(KeyError):
        change(posts)
    assert posts.all() == (post,)


# -- limits -----------------------------------------------------------------------------------------------


async def test_new_post_replaces_the_oldest_resolved_post_above_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    storage = Storage()
    posts = posts_of(storage, "main", "eu")
    other = posts.create("eu", "Other", RESOLVED, "a", KIM)
    created = [
        posts.create("main", str(number), INVESTIGATING, "a", KIM) for number in range(module.MAX_POSTS)
    ]
    posts.update(created[3].id, RESOLVED, "b", KIM)
    posts.update(created[2].id, RESOLVED, "b", KIM)
    posts.create("main", "new", INVESTIGATING, "a", KIM)
    assert {post.title for post in posts.of_page("main")} == {
        "new",
        *(post.title for post in created if post.title != "2"),
    }
    assert posts.get(other.id) == other
    assert posts_of(storage).all() == posts.all()
    assert caplog.messages[-1].endswith('deleted, because the page has more than 100 posts: "2"')


async def test_page_with_too_many_posts_that_are_not_resolved_accepts_no_other() -> None:
    posts = posts_of(Storage())
    for number in range(module.MAX_POSTS):
        posts.create("main", str(number), PostStatus.MONITORING, "a", KIM)
    before = posts.all()
    error = "the page has 100 posts that are not resolved, which is the limit; resolve or delete some of them"
    with pytest.raises(ControlError, match=error):
        posts.create("main", "new", INVESTIGATING, "a", KIM)
    assert posts.all() == before


async def test_post_with_too_many_updates_accepts_no_other() -> None:
    posts = posts_of(Storage())
    post = posts.create("main", "Slow", INVESTIGATING, "a", KIM)
    for _ in range(module.MAX_UPDATES - 1):
        posts.update(post.id, INVESTIGATING, "b", KIM)
    with pytest.raises(ControlError, match="the post has 100 updates, which is the limit; create a new post"):
        posts.update(post.id, RESOLVED, "c", KIM)
    assert len(posts.get(post.id).updates) == module.MAX_UPDATES


async def test_total_size_of_all_posts_is_limited() -> None:
    posts = posts_of(Storage(), *"abcdefghi")
    text = "x" * module.MAX_TEXT_CHARACTERS
    left = module.MAX_CHARACTERS
    full = []
    for page in posts.pages:
        post = posts.create(page, "Slow", INVESTIGATING, text, KIM)
        left -= len("Slow") + len(text)
        while left >= len(text) and len(post.updates) < module.MAX_UPDATES:
            post = posts.update(post.id, INVESTIGATING, text, KIM)
            left -= len(text)
        full.append(post)
        if left < len(text):
            break
    before = posts.all()
    error = "would exceed 4194304 characters, which is the limit; delete old posts"
    with pytest.raises(ControlError, match=error):
        posts.create("a", "Slow", INVESTIGATING, text, KIM)
    with pytest.raises(ControlError, match=error):
        posts.update(full[-1].id, INVESTIGATING, text, KIM)
    assert posts.all() == before
    short = posts.create("a", "Slow", INVESTIGATING, "a", KIM)
    with pytest.raises(ControlError, match=error):
        posts.edit(short.id, 1, text, KIM)
    posts.edit(full[0].id, 1, "short", KIM)
    posts.edit(short.id, 1, text, KIM)


# -- texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Slow\t checkout\n again ", "Slow checkout again"),
        ("café 日本 🎉", "café 日本 🎉"),
        ("a\u202eb\x1b[0m\x00c", "ab[0mc"),
        ("a\u00a0b", "a b"),
        ("\u200b\x00", "\ufffd\ufffd"),
        ("x" * 200, "x" * 200),
    ],
    ids=["one line", "other scripts", "invisible characters", "no-break space", "only invisible", "longest"],
)
def test_title_is_one_line_without_invisible_characters(text: str, cleaned: str) -> None:
    assert clean_title(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\n First \r\n\r\n  second\t!\n\n", "First\n\n  second !"),
        ("a\u202eb\x07\nc", "ab\nc"),
        ("a\u00a0b\u2009c", "a b c"),
        ("x" * 5000, "x" * 5000),
    ],
    ids=["lines", "invisible characters", "other spaces", "longest"],
)
def test_text_keeps_its_lines(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize("clean", [clean_title, clean_text], ids=["title", "text"])
@pytest.mark.parametrize("text", ["", " \n\t"], ids=["nothing", "spaces"])
def test_empty_title_or_text_is_rejected(clean: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match="is empty; write some text"):
        clean(text)


def test_long_title_and_text_are_rejected_with_their_length() -> None:
    with pytest.raises(InvalidValueError, match="has 201 characters; write at most 200"):
        clean_title("x" * 201)
    with pytest.raises(InvalidValueError, match="has 5001 characters; write at most 5000"):
        clean_text("x" * 5001)


# -- log --------------------------------------------------------------------------------------------------


async def test_every_change_is_logged_with_the_client_and_the_fields_of_its_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    posts = posts_of(Storage())
    post = posts.create("main", "Slow checkout", INVESTIGATING, "a", KIM)
    posts.update(post.id, RESOLVED, "b\nc", KIM)
    posts.edit(post.id, 2, "d", BO)
    posts.delete(post.id, BO)
    start = f"post {post.id} on page main:"
    assert caplog.messages == [
        f'{start} created by kim (uid 1000): investigating, "Slow checkout"',
        f'{start} updated by kim (uid 1000): resolved, "Slow checkout"',
        f'{start} update 2 edited by token deploy, from 192.0.2.7; the previous text was "b c"',
        f'{start} deleted by token deploy, from 192.0.2.7: "Slow checkout"',
    ]
    events = [JournalEvent[f"POST_{name}"] for name in ("CREATED", "UPDATED", "EDITED", "DELETED")]
    clients = [KIM, KIM, BO, BO]
    statuses = ["investigating", "resolved", "resolved", "resolved"]
    for record, event, by, status in zip(caplog.records, events, clients, statuses, strict=True):
        sent = vars(record)
        assert sent["message_id"] == event.message_id
        fields = {"POST": post.id, "PAGE": "main", "POST_STATUS": status, "REQUESTED_BY": by}
        assert sent["fields"] == fields
        assert set(event.fields) == set(fields)


# -- storage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        {"updates": []},
        {"updates": [{"at": 1.0}]},
        {"updates": 7},
        {"updates": [{"at": 1.0, "status": "unknown", "text": "a", "author": "b"}]},
        {"updates": [{"at": 1e300, "status": "resolved", "text": "a", "author": "b"}]},
    ],
    ids=["no update", "incomplete update", "not a list", "unknown status", "year out of range"],
)
async def test_stored_post_that_cannot_be_read_is_kept_with_a_warning(
    damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage()
    posts = posts_of(storage)
    good = posts.create("main", "Good", INVESTIGATING, "a", KIM)
    bad = {"page": "main", "title": "Bad", **damage}
    for update in bad["updates"] if isinstance(bad["updates"], list) else ():
        update.setdefault("edited_at", None)
        update.setdefault("edited_by", None)
    storage.store("post:bad", bad)
    later = posts_of(storage)
    assert later.all() == (good,)
    assert "post bad: the stored post cannot be read and is not shown" in caplog.text
    assert "post:bad" in storage.texts


async def test_posts_survive_a_kill_an_upgrade_and_a_damaged_table(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"

    def posts_in_database() -> World:
        world = World(history_path=path)
        world.open_history()
        world.posts.apply(["main"])
        return world

    world = posts_in_database()
    created: Post = world.posts.create("main", "Slow", INVESTIGATING, "a", KIM)
    assert await world.history.wait_until_stored(60.0, durable=True)
    # As after SIGKILL: this second process reads what the response has promised, while the first has closed nothing.
    second = posts_in_database()
    assert second.posts.all() == (created,)
    await second.close()
    await world.close()
    spoil_table(path, "results")
    third = posts_in_database()
    assert third.posts.all() == (created,)
    await third.close()


async def test_pages_of_the_configuration_accept_posts(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text("""
[monitors.shop]
url = "http://127.0.0.1:1/"
[pages.customers]
monitors = ["shop"]
[pages.partners]
monitors = ["shop"]
""")
    world = World(config=config)
    world.control.apply_first()
    assert world.posts.pages == ["customers", "partners"]
    config.write_text('[monitors.shop]\nurl = "http://127.0.0.1:1/"\n[pages.other]\nmonitors = ["shop"]\n')
    assert (await world.control.reload("a test")).ok
    assert world.posts.pages == ["other"]
    await world.close()
