"""Posts on public pages: list, create, update, edit and delete them.

As for interventions, a response waits until the change is stored. `security` has authorized the request before; a token
needs all rights, because the public reads posts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from monitord.errors import ControlError, InvalidValueError
from monitord.history import History
from monitord.model import Json, PostStatus
from monitord.posts import Post, Posts, UnknownPageError, clean_text, clean_title
from monitord.status.access.body import MAX_ITEM_CHARACTERS, Read, check_unicode, read_body
from monitord.status.access.problems import InputError, UnknownInput
from monitord.status.access.responses import compact_json_response
from monitord.status.access.security import requested_by
from monitord.status.api.interventions import waiting_for_storage
from monitord.status.api.openapi import PREFIX, ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryParameter, QueryValues
from monitord.status.model.representations import text_of
from monitord.text import joined
from monitord.web import HTTPConflict, HTTPNotFound, Request, Response

PAGE: QueryParameter[str | None] = QueryParameter(
    "page",
    "Only posts on this page.",
    lambda texts: texts[-1],
    None,
    {"type": "string"},
)

MAX_NUMBER_DIGITS = 4
"""Digits of the number of an update in a path."""


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("is not a string", "write it in quotes")
    check_unicode(value)
    return value


def _page(value: object) -> str:
    page = _string(value)
    if not 0 < len(page) <= MAX_ITEM_CHARACTERS:
        raise InvalidValueError(
            f"is not a name of 1 to {MAX_ITEM_CHARACTERS} characters", "write NAME of [pages.NAME]"
        )
    return page


def _status(value: object) -> PostStatus:
    if not isinstance(value, str) or value not in list(PostStatus):
        raise InvalidValueError("is not a status", f"write {joined(list(PostStatus), 'or')}")
    return PostStatus(value)


def _cleaned(clean: Callable[[str], str]) -> Read:
    return lambda value: clean(_string(value))


_NEW_UPDATE: Mapping[str, Read] = {"status": _status, "text": _cleaned(clean_text)}
_NEW_POST: Mapping[str, Read] = {"page": _page, "title": _cleaned(clean_title), **_NEW_UPDATE}


class PostHandlers:
    """Handlers of the endpoints."""

    def __init__(self, posts: Posts) -> None:
        self._posts = posts

    async def list(self, _: Request, query: QueryValues) -> Response:
        page = query[PAGE]
        posts = self._posts.all() if page is None else self._posts.of_page(page)
        return compact_json_response({"posts": list(map(self._json, posts)), "pages": self._posts.pages})

    async def get(self, request: Request, _: QueryValues) -> Response:
        return compact_json_response(self._json(self._find(request)))

    async def create(self, request: Request, _: QueryValues) -> Response:
        body = await read_body(request, _NEW_POST, ("page", "title", "text"))
        status = body.get("status", PostStatus.INVESTIGATING)
        with _rejections():
            post = self._posts.create(
                body["page"], body["title"], status, body["text"], requested_by(request)
            )
        return compact_json_response(self._json(post), 201, {"Location": f"{PREFIX}/posts/{post.id}"})

    async def update(self, request: Request, _: QueryValues) -> Response:
        body = await read_body(request, _NEW_UPDATE, ("text",))
        post = self._find(request)
        with _rejections():
            post = self._posts.update(
                post.id, body.get("status", post.status), body["text"], requested_by(request)
            )
        return compact_json_response(self._json(post))

    async def edit(self, request: Request, _: QueryValues) -> Response:
        body = await read_body(request, {"text": _cleaned(clean_text)}, ("text",))
        post, number = self._find(request), request.match_info["number"]
        if not (number.isascii() and number.isdecimal() and len(number) <= MAX_NUMBER_DIGITS):
            raise _no_update(post, number)
        try:
            with _rejections():
                post = self._posts.edit(post.id, int(number), body["text"], requested_by(request))
        except KeyError:
            raise _no_update(post, number) from None
        return compact_json_response(self._json(post))

    async def delete(self, request: Request, _: QueryValues) -> Response:
        await read_body(request, {})
        self._posts.delete(self._find(request).id, requested_by(request))
        return Response(status=204)

    def _find(self, request: Request) -> Post:
        post_id: str = request.match_info["post"]
        try:
            return self._posts.get(post_id)
        except KeyError:
            raise HTTPNotFound(
                text=f"no post has the ID {post_id!r}; GET /api/v1/posts lists the posts\n"
            ) from None

    def _json(self, post: Post) -> Json:
        return {
            "id": post.id,
            "page": post.page,
            "is_page_configured": self._posts.is_page(post.page),
            "title": post.title,
            "status": post.status.value,
            "created_at": text_of(post.created_at),
            "updates": [
                {
                    "number": number,
                    "at": text_of(update.at),
                    "status": update.status.value,
                    "text": update.text,
                    "author": update.author,
                    "edited_at": text_of(update.edited_at),
                    "edited_by": update.edited_by,
                }
                for number, update in enumerate(post.updates, 1)
            ],
        }


@contextmanager
def _rejections() -> Iterator[None]:
    """Respond with 404 if there is no such page, and with 409 if a change is rejected for another reason."""
    try:
        yield
    except UnknownPageError as error:
        raise UnknownInput([InputError("page", error.message, error.hint)]) from None
    except ControlError as error:
        raise HTTPConflict(text=f"{error}\n") from None


def _no_update(post: Post, number: str) -> HTTPNotFound:
    return HTTPNotFound(text=f"the post has no update {number!r}; the last update is {len(post.updates)}\n")


def post_endpoints(posts: Posts, history: History) -> list[ApiEndpoint]:
    handlers = PostHandlers(posts)
    changed = {200: ResponseSpec("The post after the change.", "Post")}
    changes = [
        ApiEndpoint(
            "POST",
            "/posts",
            handlers.create,
            "createPost",
            "Posts",
            "Create a post",
            "Publishes a post with its first update on a public page. If the page has the maximum number of posts, "
            "the oldest resolved post is deleted.",
            {201: ResponseSpec("The post.", "Post")},
            body="NewPost",
            needs_body=True,
            problems=[404, 409],
        ),
        ApiEndpoint(
            "POST",
            "/posts/{post}/updates",
            handlers.update,
            "updatePost",
            "Posts",
            "Add an update to a post",
            "Publishes the progress of the incident that the post is about.",
            changed,
            body="NewPostUpdate",
            needs_body=True,
            problems=[409],
        ),
        ApiEndpoint(
            "PATCH",
            "/posts/{post}/updates/{number}",
            handlers.edit,
            "editPostUpdate",
            "Posts",
            "Edit an update of a post",
            "Replaces the text of an update, to correct it. Its time and its status do not change.",
            changed,
            body="PostText",
            needs_body=True,
            problems=[409],
        ),
        ApiEndpoint(
            "DELETE",
            "/posts/{post}",
            handlers.delete,
            "deletePost",
            "Posts",
            "Delete a post",
            "Deletes a post with all its updates.",
            {204: ResponseSpec("The post has been deleted.", None)},
        ),
    ]
    return [
        ApiEndpoint(
            "GET",
            "/posts",
            handlers.list,
            "listPosts",
            "Posts",
            "List posts",
            "Returns the posts on all public pages, the newest first, including posts on pages that are no longer "
            "configured.",
            {200: ResponseSpec("The posts.", "Posts")},
            parameters=[PAGE],
        ),
        ApiEndpoint(
            "GET",
            "/posts/{post}",
            handlers.get,
            "getPost",
            "Posts",
            "Get a post",
            "Returns a post with all its updates.",
            {200: ResponseSpec("The post.", "Post")},
        ),
        *(waiting_for_storage(endpoint, history) for endpoint in changes),
    ]
