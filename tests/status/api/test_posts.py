"""Posts through the API: what each request changes, with the client as author, and its errors."""

import os
from pathlib import Path
from typing import Any

import pytest

from monitord.config import Secret
from monitord.model import PostStatus
from monitord.posts import MAX_UPDATES
from monitord.status import AccessPolicy, AccessToken
from monitord.status.access.security import CLAIM_HEADER
from monitord.status.api.openapi import PREFIX
from monitord.web.testing import SocketClient, TestClient
from tests.endpoint import StatusWorld, asked, make_world
from tests.status.api.test_api import described
from tests.worlds import World

NEW = {"page": "main", "title": "Slow  checkout", "text": "We look\ninto it."}


def world_with_pages(*pages: str) -> StatusWorld:
    world = make_world()
    world.posts.apply(pages)
    return world


def updates(post: Any) -> list[tuple[int, str, str]]:
    return [(update["number"], update["status"], update["text"]) for update in post["updates"]]


async def test_post_has_the_client_as_its_author_and_begins_with_investigating() -> None:
    async with asked(world_with_pages("main")) as client:
        ask = await described(client)
        response = await ask("POST", "/posts", NEW, [(CLAIM_HEADER, "ann")])
    post = response.json()
    (update,) = post["updates"]
    assert (post["page"], post["title"], post["is_page_configured"]) == ("main", "Slow checkout", True)
    assert (post["status"], updates(post)) == ("investigating", [(1, "investigating", "We look\ninto it.")])
    assert update["author"].endswith(f"pid {os.getpid()}")
    assert (update["edited_at"], update["edited_by"]) == (None, None)
    assert post["created_at"] == update["at"]


async def test_author_of_a_request_with_a_token_is_its_name() -> None:
    world = make_world(policy=AccessPolicy(tokens=(AccessToken("deploy", Secret("token-of-deploy")),)))
    world.posts.apply(["main"])
    async with SocketClient(world.status_application) as client:
        fields = [("Authorization", "Bearer token-of-deploy")]
        response = await client.post(f"{PREFIX}/posts", json=NEW, headers=fields)
    await world.close()
    assert response.json()["updates"][0]["author"] == "token deploy, from 127.0.0.1"


async def test_update_keeps_the_status_unless_it_names_another() -> None:
    async with asked(world_with_pages("main")) as client:
        ask = await described(client)
        post = (await ask("POST", "/posts", {**NEW, "status": "identified"})).json()
        path = f"/posts/{post['id']}/updates"
        await ask("POST", path, {"text": "Still."})
        changed = (await ask("POST", path, {"text": "Fixed.", "status": "resolved"})).json()
    assert changed["status"] == "resolved"
    assert updates(changed)[1:] == [(2, "identified", "Still."), (3, "resolved", "Fixed.")]


async def test_edit_replaces_the_text_of_one_update() -> None:
    async with asked(world_with_pages("main")) as client:
        ask = await described(client)
        post = (await ask("POST", "/posts", NEW)).json()
        await ask("POST", f"/posts/{post['id']}/updates", {"text": "Fixd.", "status": "resolved"})
        changed = (await ask("PATCH", f"/posts/{post['id']}/updates/2", {"text": "Fixed."})).json()
    assert updates(changed) == [(1, "investigating", "We look\ninto it."), (2, "resolved", "Fixed.")]
    assert changed["updates"][1]["edited_by"] == changed["updates"][1]["author"]
    assert changed["updates"][0]["edited_at"] is None


async def test_list_can_be_limited_to_a_page_and_marks_posts_of_removed_pages() -> None:
    world = world_with_pages("main", "eu")
    async with asked(world) as client:
        ask = await described(client)
        await ask("POST", "/posts", NEW)
        await ask("POST", "/posts", {**NEW, "page": "eu"})
        world.posts.apply(["main"])
        listed = (await ask("GET", "/posts")).json()
        assert {post["page"]: post["is_page_configured"] for post in listed["posts"]} == {
            "main": True,
            "eu": False,
        }
        assert listed["pages"] == ["main"]
        assert [post["page"] for post in (await ask("GET", "/posts?page=eu")).json()["posts"]] == ["eu"]
        assert (await ask("GET", "/posts?page=none")).json()["posts"] == []


async def test_list_changes_its_entity_tag_with_every_change() -> None:
    world = world_with_pages("main")
    async with asked(world) as client:
        tag = (await client.get(f"{PREFIX}/posts")).headers["ETag"]
        unchanged = await client.get(f"{PREFIX}/posts", headers=[("If-None-Match", tag)])
        world.posts.create("main", "Slow", PostStatus.INVESTIGATING, "a", "kim")
        changed = await client.get(f"{PREFIX}/posts", headers=[("If-None-Match", tag)])
    assert (unchanged.status, changed.status) == (304, 200)


@pytest.mark.parametrize(
    ("pages", "hint"),
    [
        (("main", "eu"), "did you mean main?"),
        ((), "add [pages.mian]"),
    ],
    ids=["similar name", "no page"],
)
async def test_post_on_an_unknown_page_is_404_with_a_hint(pages: tuple[str, ...], hint: str) -> None:
    async with asked(world_with_pages(*pages)) as client:
        response = await (await described(client))("POST", "/posts", {**NEW, "page": "mian"})
    assert response.status == 404
    (error,) = response.json()["errors"]
    assert (error["parameter"], error["hint"]) == ("page", hint)


async def test_invalid_body_is_400_with_all_errors() -> None:
    async with asked(world_with_pages("main")) as client:
        ask = await described(client)
        body = {"page": "", "title": " ", "status": "open", "text": "x" * 5001}
        response = await ask("POST", "/posts", body)
        assert response.status == 400
        assert {
            error["parameter"]: (error["problem"], error["hint"]) for error in response.json()["errors"]
        } == {
            "page": ("is not a name of 1 to 256 characters", "write NAME of [pages.NAME]"),
            "title": ("is empty", "write some text"),
            "status": ("is not a status", "write investigating, identified, monitoring or resolved"),
            "text": ("has 5001 characters", "write at most 5000"),
        }
        assert (await ask("GET", "/posts")).json()["posts"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/posts/0000", None),
        ("POST", "/posts/0000/updates", {"text": "a"}),
        ("PATCH", "/posts/0000/updates/1", {"text": "a"}),
        ("DELETE", "/posts/0000", None),
    ],
)
async def test_unknown_post_is_404(method: str, path: str, body: Any) -> None:
    async with asked(world_with_pages("main")) as client:
        response = await (await described(client))(method, path, body)
    assert response.status == 404
    assert response.json()["detail"] == "no post has the ID '0000'; GET /api/v1/posts lists the posts"


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", "99999", "%D9%A1", "1.0"])
async def test_unknown_update_is_404(number: str) -> None:
    world = world_with_pages("main")
    async with asked(world) as client:
        ask = await described(client)
        post = (await ask("POST", "/posts", NEW)).json()
        response = await ask("PATCH", f"/posts/{post['id']}/updates/{number}", {"text": "a"})
    assert response.status == 404
    assert response.json()["detail"].startswith("the post has no update")
    assert world.posts.all()[0].updates[0].text == NEW["text"]


async def test_limit_is_a_conflict() -> None:
    world = world_with_pages("main")
    async with asked(world) as client:
        ask = await described(client)
        post = (await ask("POST", "/posts", NEW)).json()
        for _ in range(MAX_UPDATES - 1):
            world.posts.update(post["id"], PostStatus.MONITORING, "b", "kim")
        response = await ask("POST", f"/posts/{post['id']}/updates", {"text": "c"})
    assert response.status == 409
    assert response.json()["detail"] == ("the post has 100 updates, which is the limit; create a new post")


def daemon(tmp_path: Path) -> World:
    world = World(history_path=tmp_path / "history.sqlite3")
    world.open_history()
    world.posts.apply(["main"])
    return world


async def test_change_that_cannot_be_stored_is_507(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").mkdir()  # no database can be opened there
    world = daemon(tmp_path)
    async with TestClient(world.status_application) as client:
        response = await client.post(f"{PREFIX}/posts", json=NEW)
    await world.close()
    assert response.status == 507
    assert "the change is in effect but could not be stored" in response.json()["detail"]
    assert len(world.posts.all()) == 1


async def test_answered_change_survives_a_kill(tmp_path: Path) -> None:
    killed = daemon(tmp_path)
    async with TestClient(killed.status_application) as client:
        created = (await client.post(f"{PREFIX}/posts", json=NEW)).json()
        # The first process has closed nothing, as after SIGKILL.
        restarted = daemon(tmp_path)
        async with TestClient(restarted.status_application) as other:
            listed = (await other.get(f"{PREFIX}/posts")).json()
        await restarted.close()
    await killed.close()
    assert listed["posts"] == [created]
