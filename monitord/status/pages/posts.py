"""The posts of public pages, and the forms to create, update, edit and delete them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from monitord.errors import ControlError
from monitord.model import PostStatus
from monitord.posts import (
    MAX_TEXT_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    Post,
    PostUpdate,
    clean_text,
    clean_title,
)
from monitord.status.access.security import requested_by
from monitord.status.pages.form_handlers import FormHandlers, read_form, require_rights
from monitord.status.pages.forms import MAX_FIELD_CHARACTERS, FieldErrors
from monitord.status.pages.frame import Notice
from monitord.web import HTTPNotFound, Request, Response

POSTS_PER_PAGE = 100
MAX_NUMBER_DIGITS = 4

TONES = {
    PostStatus.INVESTIGATING: "down",
    PostStatus.IDENTIFIED: "degraded",
    PostStatus.MONITORING: "pending",
    PostStatus.RESOLVED: "up",
}
"""The state whose icon and colour show a status."""


@dataclass(frozen=True, slots=True)
class PostForm:
    """The fields of a form about a post, as entered."""

    page: str = ""
    title: str = ""
    status: str = PostStatus.INVESTIGATING.value
    text: str = ""

    @classmethod
    def of(cls, submitted: Mapping[str, str]) -> "PostForm":
        names = [field.name for field in fields(cls)]
        # Browsers send the lines of a text area with CR LF, and count one character (HTML, section 4.10.11).
        texts = {name: submitted[name].replace("\r\n", "\n") for name in names if name in submitted}
        return cls(**{name: text[:MAX_FIELD_CHARACTERS] for name, text in texts.items()})

    def read_status(self, errors: FieldErrors) -> PostStatus:
        """Return the status. If it is unknown, record an error and return a placeholder."""
        try:
            return PostStatus(self.status)
        except ValueError:
            errors["status"] = "is not among the choices; choose a status"
            return PostStatus.INVESTIGATING

    def read_text(self, errors: FieldErrors) -> str:
        return errors.read("text", lambda: clean_text(self.text)) or ""

    def read_title(self, errors: FieldErrors) -> str:
        return errors.read("title", lambda: clean_title(self.title)) or ""


class PostPageHandlers(FormHandlers):
    """The handlers of the pages about posts."""

    async def posts(self, request: Request) -> Response:
        posts = self._parts.posts.all()
        values = {"posts": posts[:POSTS_PER_PAGE], "total": len(posts), **self._common}
        return await self._frame.page(request, "posts.html", values)

    async def new_form(self, request: Request) -> Response:
        return await self._new_form(request, PostForm.of(request.query), {})

    async def new(self, request: Request) -> Response:
        form, errors, by = PostForm.of(await read_form(request)), FieldErrors(), requested_by(request)
        status, title, text = form.read_status(errors), form.read_title(errors), form.read_text(errors)
        if not self._parts.posts.is_page(form.page):
            errors["page"] = "is not a configured page; choose a page"
        if errors:
            return await self._new_form(request, form, errors, status=400)
        try:
            post = self._parts.posts.create(form.page, title, status, text, by)
        except ControlError as error:
            return await self._new_form(request, form, {"": str(error)}, status=409)
        return await self._stored(request, f"posts/{post.id}", f"post created by {by}")

    async def post(self, request: Request) -> Response:
        post = self._find(request)
        return await self._post(request, post, PostForm(status=post.status.value), {})

    async def update(self, request: Request) -> Response:
        """Add an update to the post in the path."""
        form, errors, by = PostForm.of(await read_form(request)), FieldErrors(), requested_by(request)
        post, status, text = self._find(request), form.read_status(errors), form.read_text(errors)
        if errors:
            return await self._post(request, post, form, errors, status=400)
        try:
            self._parts.posts.update(post.id, status, text, by)
        except ControlError as error:
            return await self._post(request, post, form, {"": str(error)}, status=409)
        return await self._stored(request, f"posts/{post.id}", f"update added by {by}")

    async def edit_form(self, request: Request) -> Response:
        post, number, update = self._find_update(request)
        return await self._edit_form(request, post, number, PostForm(text=update.text), {})

    async def edit(self, request: Request) -> Response:
        """Replace the text of the update in the path."""
        form, errors, by = PostForm.of(await read_form(request)), FieldErrors(), requested_by(request)
        post, number, _ = self._find_update(request)
        text = form.read_text(errors)
        if errors:
            return await self._edit_form(request, post, number, form, errors, status=400)
        try:
            self._parts.posts.edit(post.id, number, text, by)
        except ControlError as error:
            return await self._edit_form(request, post, number, form, {"": str(error)}, status=409)
        return await self._stored(request, f"posts/{post.id}", f"update {number} edited by {by}")

    async def delete(self, request: Request) -> Response:
        await read_form(request)
        post_id, by = request.match_info["id"], requested_by(request)
        try:
            self._parts.posts.delete(post_id, by)
        except KeyError:
            return self._redirect(
                request, "posts", Notice("This post has been deleted already.", is_problem=True)
            )
        return await self._stored(request, "posts", f"post {post_id} deleted by {by}")

    async def _new_form(
        self, request: Request, form: PostForm, errors: Mapping[str, str], *, status: int = 200
    ) -> Response:
        require_rights(request)
        values = {"form": form, "errors": errors, **self._common}
        return await self._frame.page(request, "post_form.html", values, status=status)

    async def _post(
        self, request: Request, post: Post, form: PostForm, errors: Mapping[str, str], *, status: int = 200
    ) -> Response:
        numbered = [*enumerate(post.updates, 1)][::-1]
        values = {"post": post, "updates": numbered, "form": form, "errors": errors, **self._common}
        return await self._frame.page(request, "post.html", values, status=status)

    async def _edit_form(
        self,
        request: Request,
        post: Post,
        number: int,
        form: PostForm,
        errors: Mapping[str, str],
        *,
        status: int = 200,
    ) -> Response:
        require_rights(request)
        values = {"post": post, "number": number, "form": form, "errors": errors, **self._common}
        return await self._frame.page(request, "post_edit_form.html", values, status=status)

    @property
    def _common(self) -> Mapping[str, object]:
        return {
            "pages": self._parts.posts.pages,
            "statuses": list(PostStatus),
            "tones": TONES,
            "max_title": MAX_TITLE_CHARACTERS,
            "max_text": MAX_TEXT_CHARACTERS,
            "page": "posts",
        }

    def _find(self, request: Request) -> Post:
        try:
            return self._parts.posts.get(request.match_info["id"])
        except KeyError:
            raise HTTPNotFound(text="this post does not exist; it may have been deleted\n") from None

    def _find_update(self, request: Request) -> tuple[Post, int, PostUpdate]:
        post, text = self._find(request), request.match_info["number"]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_NUMBER_DIGITS else 0
        if not 0 < number <= len(post.updates):
            raise HTTPNotFound(text=f"the post has no update {text!r}\n")
        return post, number, post.updates[number - 1]
