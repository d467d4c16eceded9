"""The pages of posts: sent as browsers send them, to the real application."""

import os
import re
from collections.abc import Sequence

import pytest

from monitord.model import PostStatus
from monitord.posts import MAX_UPDATES, Post
from monitord.status.pages.posts import POSTS_PER_PAGE, TONES
from monitord.web.testing import ClientResponse, SocketClient
from tests.status.pages.test_changes import HTML, PROXY, get, outcome, send
from tests.status.site import Site, usual_site

FORM = {"page": "main", "title": "Slow checkout", "status": "identified", "text": "We look\r\ninto it."}


def add_post(world: Site, *, page: str = "main", title: str = "Slow", text: str = "First.") -> Post:
    return world.posts.create(page, title, PostStatus.INVESTIGATING, text, "kim")


def text_of(answer: ClientResponse) -> str:
    """The main part of a page without tags and repeated space."""
    main = answer.text[answer.text.index("<main") : answer.text.index("</main>")]
    return " ".join(re.sub("<[^>]+>", "", main).split())


def errors_of(answer: ClientResponse) -> Sequence[tuple[str, str]]:
    return re.findall(r'<p class="field-error" id="error-(\w+)">([^<]+)</p>', answer.text)


def problem_of(answer: ClientResponse) -> str:
    found = re.search(r'<div class="notice problem" role="alert">(.*?)</div>', answer.text)
    return re.sub("<[^>]+>", "", found[1]) if found else ""


def only_post(world: Site) -> Post:
    (post,) = world.posts.all()
    return post


def links_to_posts(answer: ClientResponse) -> bool:
    return re.search(r'<a href="[./]*posts"', answer.text.partition("<main")[0]) is not None


async def test_form_creates_a_post_and_shows_it() -> None:
    async with usual_site() as world:
        world.posts.apply(["eu", "main"])
        assert (
            "<option>eu</option><option selected>main</option>"
            in (await get(world, "/posts/new?page=main")).text
        )
        path, notice = await outcome(world, "/posts/new", FORM)
        post = only_post(world)
        shown = await get(world, path)
    assert path == f"/posts/{post.id}"
    assert notice.startswith("post created by ")
    assert (post.page, post.title, post.status) == ("main", "Slow checkout", PostStatus.IDENTIFIED)
    assert post.updates[0].text == "We look\ninto it."
    assert post.updates[0].author.endswith(f"pid {os.getpid()}")
    assert "We look\ninto it." in shown.text


async def test_form_adds_an_update_with_the_status_of_the_post_as_its_default() -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world)
        world.posts.update(post.id, PostStatus.MONITORING, "b", "kim")
        form = await get(world, f"/posts/{post.id}")
        assert re.findall('<option value="([a-z]+)" selected>', form.text) == ["monitoring"]
        path, notice = await outcome(world, f"/posts/{post.id}", {"status": "resolved", "text": "Fixed."})
        post = only_post(world)
        shown = text_of(await get(world, path))
    assert notice.startswith("update added by ")
    assert (post.status, post.updates[-1].text) == (PostStatus.RESOLVED, "Fixed.")
    assert shown.index("Fixed.") < shown.index("First.")


async def test_form_edits_an_update() -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world, text="Two\nlines & <b>.")
        world.posts.update(post.id, PostStatus.RESOLVED, "b", "kim")
        form = await get(world, f"/posts/{post.id}/updates/1")
        assert ">\nTwo\nlines &amp; &lt;b&gt;.</textarea>" in form.text
        path, notice = await outcome(world, f"/posts/{post.id}/updates/1", {"text": "Better."})
        post = only_post(world)
        shown = text_of(await get(world, path))
    assert (path, notice.partition(" by ")[0]) == (f"/posts/{post.id}", "update 1 edited")
    assert [update.text for update in post.updates] == ["Better.", "b"]
    assert "by kim · edited " in shown


async def test_button_deletes_a_post() -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world)
        path, notice = await outcome(world, f"/posts/{post.id}/delete")
        assert (path, world.posts.all()) == ("/posts", ())
        assert notice.startswith(f"post {post.id} deleted by ")
        assert await outcome(world, f"/posts/{post.id}/delete") == (
            "/posts",
            "This post has been deleted already.",
        )


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"title": " "}, [("title", "is empty; write some text")]),
        ({"title": "x" * 201}, [("title", "has 201 characters; write at most 200")]),
        ({"text": ""}, [("text", "is empty; write some text")]),
        ({"text": "x" * 5001}, [("text", "has 5001 characters; write at most 5000")]),
        ({"page": "other"}, [("page", "is not a configured page; choose a page")]),
        ({"status": "open"}, [("status", "is not among the choices; choose a status")]),
    ],
    ids=["no title", "long title", "no text", "long text", "page", "status"],
)
async def test_form_with_an_error_is_shown_again_with_the_entered_values(
    change: dict[str, str], errors: list[tuple[str, str]]
) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        entered = {**FORM, "title": "Kept title", "text": "Kept text", **change}
        answer = await send(world, "/posts/new", entered)
        assert world.posts.all() == ()
    assert (answer.status, errors_of(answer)) == (400, errors)
    assert problem_of(answer) == "Nothing has been changed. Correct the marked fields."
    for name in {"title", "text"} - change.keys():
        assert entered[name] in answer.text


async def test_longest_text_of_many_lines_is_accepted() -> None:
    """A browser sends two characters for the end of each line, and counts one."""
    async with usual_site() as world:
        world.posts.apply(["main"])
        await outcome(world, "/posts/new", {**FORM, "text": "x\r\n" * 2499 + "xx"})
        assert len(only_post(world).updates[0].text) == 5000


@pytest.mark.parametrize("path", ["/posts/{id}", "/posts/{id}/updates/1"], ids=["update", "edit"])
async def test_update_with_an_error_is_shown_again(path: str) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world)
        answer = await send(world, path.format(id=post.id), {"status": "resolved", "text": " "})
        assert only_post(world) == post
    assert (answer.status, errors_of(answer)) == (400, [("text", "is empty; write some text")])


async def test_limit_of_updates_is_explained() -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world)
        for _ in range(MAX_UPDATES - 1):
            world.posts.update(post.id, PostStatus.MONITORING, "b", "kim")
        answer = await send(world, f"/posts/{post.id}", {"status": "resolved", "text": "Kept text"})
    assert answer.status == 409
    assert "the post has 100 updates, which is the limit; create a new post" in problem_of(answer)
    assert "Kept text" in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/posts/0000"),
        ("POST", "/posts/0000"),
        ("GET", "/posts/0000/updates/1"),
        ("POST", "/posts/0000/updates/1"),
        ("GET", "/posts/{id}/updates/0"),
        ("GET", "/posts/{id}/updates/2"),
        ("POST", "/posts/{id}/updates/x"),
        ("GET", "/posts/{id}/updates/%D9%A1"),
    ],
)
async def test_post_or_update_that_does_not_exist_is_404(method: str, path: str) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        path = path.format(id=add_post(world).id)
        answer = await (get(world, path) if method == "GET" else send(world, path, {"text": "a"}))
    assert answer.status == 404


# -- lists and access -------------------------------------------------------------------------------------


async def test_list_shows_the_last_update_and_marks_posts_of_removed_pages() -> None:
    async with usual_site() as world:
        world.posts.apply(["main", "eu"])
        post = add_post(world, page="eu", title="<Slow>")
        world.posts.update(post.id, PostStatus.RESOLVED, "Fixed & done.", "bo")
        add_post(world, title="Down")
        world.posts.apply(["main"])
        answer = await get(world, "/posts")
    text = text_of(answer)
    assert text.startswith(
        "Posts 2 posts on public pages, newest first New post Down investigating First. page main · 1 update"
    )
    assert (
        "&lt;Slow&gt; resolved Fixed &amp; done. page eu (not configured, so the post is not published) · 2 updates, "
        "the last "
    ) in text
    assert "First. page eu" not in text


async def test_only_the_first_of_many_posts_are_shown() -> None:
    async with usual_site() as world:
        world.posts.apply(["main", "eu"])
        for page in ("main", "eu"):
            for _ in range(POSTS_PER_PAGE // 2 + 5):
                add_post(world, page=page)
        answer = await get(world, "/posts")
    assert answer.text.count("<h2><a") == POSTS_PER_PAGE
    assert "and 10 more; monitorctl posts lists all" in text_of(answer)


async def test_pages_without_public_pages_have_no_link_to_posts_and_no_form() -> None:
    async with usual_site() as world:
        overview, posts, form = [await get(world, path) for path in ("/", "/posts", "/posts/new")]
        world.posts.apply(["main"])
        with_pages = await get(world, "/")
    assert not links_to_posts(overview)
    assert "The configuration has no [pages.NAME]" in text_of(posts)
    assert "<form" not in form.text
    assert links_to_posts(with_pages)


@pytest.mark.parametrize("path", ["/posts", "/posts/{id}"], ids=["list", "post"])
async def test_clients_that_cannot_make_changes_get_no_forms(path: str) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        path = path.format(id=add_post(world).id)
        permitted, through_proxy = await get(world, path), await get(world, path, PROXY)
        async with SocketClient(world.status_application) as client:
            over_tcp = await client.get(path, headers=HTML)
    change = re.compile('method="post"|/new"|/updates/')
    assert change.search(permitted.text)
    for answer in (through_proxy, over_tcp):
        assert (answer.status, change.search(answer.text)) == (200, None)
        assert "First." in answer.text


@pytest.mark.parametrize("path", ["/posts/new", "/posts/{id}/updates/1"], ids=["new", "edit"])
async def test_form_of_a_client_without_write_access_explains_the_reason(path: str) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        answer = await get(world, path.format(id=add_post(world).id), PROXY)
    assert answer.status == 403
    assert "Changes are permitted over the Unix socket" in answer.text


@pytest.mark.parametrize("path", ["/posts/new", "/posts/{id}", "/posts/{id}/updates/1", "/posts/{id}/delete"])
@pytest.mark.parametrize(
    "fields",
    [[], [("Origin", "https://evil.example.com")], [("Origin", "null")]],
    ids=["none", "foreign", "null"],
)
async def test_form_that_no_page_of_the_daemon_has_sent_changes_nothing(
    path: str, fields: list[tuple[str, str]]
) -> None:
    async with usual_site() as world:
        world.posts.apply(["main"])
        post = add_post(world)
        answer = await send(world, path.format(id=post.id), FORM, fields)
        assert (answer.status, world.posts.all()) == (403, (post,))


def test_every_status_has_an_icon() -> None:
    assert set(TONES) == set(PostStatus)
