"""Posts: messages of people on the public pages about an incident, with the updates of its progress.

The state of a monitor shows what the daemon has measured; a post contains information from people about the incident.
Posts never change states or notifications.
"""

import logging
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from monitord.clock import Clock
from monitord.errors import ControlError, InvalidValueError
from monitord.journal_events import JournalEvent
from monitord.model import PostStatus
from monitord.systemd.log import NOTICE
from monitord.text import counted, did_you_mean, first_of, printable, shortened

__all__ = ["Post", "PostStatus", "PostUpdate", "Posts", "UnknownPageError", "clean_text", "clean_title"]

log = logging.getLogger("monitord")

STORAGE_PREFIX = "post:"
"""Each post is stored under its own key, so that a change does not write the others."""

MAX_TITLE_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 5000
MAX_UPDATES = 100
"""Updates of a post."""

MAX_POSTS = 100
"""Posts of a page. A new post replaces the oldest resolved post."""

MAX_CHARACTERS = 4 << 20
"""Limit for the titles and texts of all posts, which are in memory."""

MAX_LOGGED_CHARACTERS = 500
"""Limit for a text in the journal."""

MAX_NAMED_PAGES = 5
"""Pages that an error names."""


@dataclass(frozen=True, slots=True)
class PostUpdate:
    """An update of a post. `at` is in UTC, `text` has lines separated by newlines.

    `author` and `edited_by` name the client as the log does, with its address or login name: public pages must not show
    them. `edited_at`: when the text was last replaced; None: never.
    """

    at: datetime
    status: PostStatus
    text: str
    author: str
    edited_at: datetime | None = None
    edited_by: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A post on the public page with the name `page`. `updates`: the oldest first, at least one."""

    id: str
    page: str
    title: str
    updates: tuple[PostUpdate, ...]

    @property
    def status(self) -> PostStatus:
        """The status of the last update."""
        return self.updates[-1].status

    @property
    def created_at(self) -> datetime:
        return self.updates[0].at


class UnknownPageError(ControlError):
    """No public page with this name is configured."""


class Posts:
    """Owns all posts. `store` stores a record under a key, or deletes it (None); `stored` are those of an earlier run.

    Every method that changes a post logs the change with `by`, the client that requested it. Titles and texts
    are results of `clean_title` and `clean_text`.
    """

    def __init__(
        self,
        clock: Clock,
        store: Callable[[str, Mapping[str, Any] | None], None] = lambda _, __: None,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._pages: frozenset[str] = frozenset()
        self._posts: dict[str, Post] = {}
        self.revision = 0
        """Increases with every change of a post."""
        for key, record in (stored or {}).items():
            if key.startswith(STORAGE_PREFIX):
                post_id = key.removeprefix(STORAGE_PREFIX)
                try:
                    self._posts[post_id] = _post_from_record(post_id, record)
                except (IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
                    # Its record stays: it may have been written by a later version.
                    log.warning(
                        "post %s: the stored post cannot be read and is not shown: %r", post_id, error
                    )

    def apply(self, pages: Collection[str]) -> None:
        """Set the names of the configured pages. The posts of all other pages are kept."""
        self._pages = frozenset(pages)

    @property
    def pages(self) -> list[str]:
        """The names of the configured pages, sorted."""
        return sorted(self._pages)

    def is_page(self, name: str) -> bool:
        """Whether a page with this name is configured."""
        return name in self._pages

    def all(self) -> tuple[Post, ...]:
        """The posts of all pages, including pages that are no longer configured, the newest first."""
        return tuple(sorted(self._posts.values(), key=lambda post: post.created_at)[::-1])

    def of_page(self, name: str) -> tuple[Post, ...]:
        """The posts of a page, the newest first."""
        return tuple(post for post in self.all() if post.page == name)

    def get(self, post_id: str) -> Post:
        """Return a post. Raises KeyError if there is no such post."""
        return self._posts[post_id]

    def create(self, page: str, title: str, status: PostStatus, text: str, by: str) -> Post:
        """Create a post with its first update. Raises UnknownPageError, and ControlError if a limit is reached."""
        if not self._pages:
            raise UnknownPageError("no public page is configured", hint=f"add [pages.{page}]")
        if not self.is_page(page):
            hint = (
                did_you_mean(page, self._pages)
                or f"configured pages: {first_of(self.pages, MAX_NAMED_PAGES)}"
            )
            raise UnknownPageError(f"no public page has the name {shortened(page)!r}", hint=hint)
        posts, oldest = self.of_page(page), None
        if len(posts) >= MAX_POSTS:
            # The new post replaces the oldest that is resolved.
            resolved = [post for post in posts if post.status is PostStatus.RESOLVED]
            if not resolved:
                raise ControlError(
                    f"the page has {len(posts)} posts that are not resolved, which is the limit",
                    hint="resolve or delete some of them",
                )
            oldest = resolved[-1]
        self._check_size(len(title) + len(text) - (0 if oldest is None else _size_of(oldest)))
        post = Post(secrets.token_hex(4), page, title, (PostUpdate(self._clock.now(), status, text, by),))
        self._set(post)
        self._log(JournalEvent.POST_CREATED, post, by, f'created by {by}: {status.value}, "{title}"')
        if oldest is not None:
            self._remove(oldest)
            detail = f'deleted, because the page has more than {MAX_POSTS} posts: "{oldest.title}"'
            self._log(JournalEvent.POST_DELETED, oldest, by, detail)
        return post

    def update(self, post_id: str, status: PostStatus, text: str, by: str) -> Post:
        """Add an update. Raises KeyError if there is no such post, ControlError if a limit is reached."""
        post = self._posts[post_id]
        if len(post.updates) >= MAX_UPDATES:
            raise ControlError(
                f"the post has {len(post.updates)} updates, which is the limit", hint="create a new post"
            )
        self._check_size(len(text))
        update = PostUpdate(self._clock.now(), status, text, by)
        post = replace(post, updates=(*post.updates, update))
        self._set(post)
        self._log(JournalEvent.POST_UPDATED, post, by, f'updated by {by}: {status.value}, "{post.title}"')
        return post

    def edit(self, post_id: str, number: int, text: str, by: str) -> Post:
        """Replace the text of an update; `number` counts from 1, the oldest update.

        The previous text is logged. Raises KeyError if there is no such post or update, ControlError if a limit is
        reached.
        """
        post = self._posts[post_id]
        if not 0 < number <= len(post.updates):
            raise KeyError(number)
        previous = post.updates[number - 1]
        self._check_size(len(text) - len(previous.text))
        edited = replace(previous, text=text, edited_at=self._clock.now(), edited_by=by)
        post = replace(post, updates=(*post.updates[: number - 1], edited, *post.updates[number:]))
        self._set(post)
        before = shortened(" ".join(previous.text.split()), MAX_LOGGED_CHARACTERS)
        detail = f'update {number} edited by {by}; the previous text was "{before}"'
        self._log(JournalEvent.POST_EDITED, post, by, detail)
        return post

    def delete(self, post_id: str, by: str) -> None:
        """Delete a post with its updates. Raises KeyError if there is no such post."""
        post = self._posts[post_id]
        self._remove(post)
        self._log(JournalEvent.POST_DELETED, post, by, f'deleted by {by}: "{post.title}"')

    def _check_size(self, more_characters: int) -> None:
        if sum(map(_size_of, self._posts.values())) + more_characters > MAX_CHARACTERS:
            raise ControlError(
                f"all posts together would exceed {MAX_CHARACTERS} characters, which is the limit",
                hint="delete old posts",
            )

    def _set(self, post: Post) -> None:
        self._posts[post.id] = post
        self._store(
            STORAGE_PREFIX + post.id,
            {
                "page": post.page,
                "title": post.title,
                "updates": [
                    {
                        "at": update.at.timestamp(),
                        "status": update.status.value,
                        "text": update.text,
                        "author": update.author,
                        "edited_at": None if update.edited_at is None else update.edited_at.timestamp(),
                        "edited_by": update.edited_by,
                    }
                    for update in post.updates
                ],
            },
        )
        self.revision += 1

    def _remove(self, post: Post) -> None:
        del self._posts[post.id]
        self._store(STORAGE_PREFIX + post.id, None)
        self.revision += 1

    def _log(self, event: JournalEvent, post: Post, by: str, detail: str) -> None:
        fields = {"POST": post.id, "PAGE": post.page, "POST_STATUS": post.status.value, "REQUESTED_BY": by}
        extra = {"fields": fields, "message_id": event.message_id}
        log.log(NOTICE, "post %s on page %s: %s", post.id, post.page, detail, extra=extra)


def clean_title(text: str) -> str:
    """Return a title on one line, without invisible characters. Raises InvalidValueError if it is empty or too long."""
    _check_length(text, MAX_TITLE_CHARACTERS)
    return _visible(" ".join(text.split()))


def clean_text(text: str) -> str:
    """Return the text of an update, without invisible characters and outer empty lines.

    Raises InvalidValueError if it is empty or too long.
    """
    _check_length(text, MAX_TEXT_CHARACTERS)
    return _visible("\n".join(re.sub(r"\s", " ", line).rstrip() for line in text.splitlines()).strip())


def _check_length(text: str, most: int) -> None:
    if not text.strip():
        raise InvalidValueError("is empty", "write some text")
    if len(text) > most:
        raise InvalidValueError(f"has {counted(len(text), 'character')}", f"write at most {most}")


def _visible(text: str) -> str:
    # A text of invisible characters only is not empty for its schema in the API, so something must be left of it.
    return printable(text, keep="\n", replacement="") or printable(text)


def _size_of(post: Post) -> int:
    return len(post.title) + sum(len(update.text) for update in post.updates)


def _post_from_record(post_id: str, record: Mapping[str, Any]) -> Post:
    updates = tuple(map(_update_from_record, record["updates"]))
    if not updates:
        raise ValueError("a post has at least one update")
    return Post(post_id, str(record["page"]), str(record["title"]), updates)


def _update_from_record(record: Mapping[str, Any]) -> PostUpdate:
    edited_at, edited_by = record["edited_at"], record["edited_by"]
    return PostUpdate(
        at=datetime.fromtimestamp(record["at"], UTC),
        status=PostStatus(record["status"]),
        text=str(record["text"]),
        author=str(record["author"]),
        edited_at=None if edited_at is None else datetime.fromtimestamp(edited_at, UTC),
        edited_by=None if edited_by is None else str(edited_by),
    )
