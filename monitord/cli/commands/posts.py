"""Posts on public pages: messages from people about an incident and its progress."""

import argparse
import sys
from collections.abc import Iterator
from http import HTTPStatus

from monitord.cli.client.connection import API, HTTPStatusError, path_of
from monitord.cli.client.requests import client_of, print_json, unknown_page
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import LocalTimes, local, zone
from monitord.cli.parsing import positive_number
from monitord.errors import ControlError
from monitord.model import Json, PostStatus
from monitord.text import plain

STANDARD_INPUT = "-"


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="Text of the update; - reads it from standard input")


def _add_post_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", metavar="PAGE", help="Name of the public page: NAME of [pages.NAME]")
    _add_text(parser)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--title", metavar="TITLE", help="Create a post with this title")
    subject.add_argument("--update", metavar="POST", help="Add an update to the post with this ID")
    parser.add_argument(
        "--status",
        choices=[status.value for status in PostStatus],
        help="Status of the post as of this update (default: investigating, or the status of the post)",
    )


def _post(options: argparse.Namespace) -> int:
    client = client_of(options)
    document = {"text": _text_of(options)}
    if options.status is not None:
        document["status"] = options.status
    if options.update is None:
        document |= {"page": options.page, "title": options.title}
        post = client.post(f"{API}/posts", document)
    else:
        page = client.get(_path_of(options.update))["page"]
        if page != options.page:
            raise ControlError(f"post {options.update} is not on page {options.page!r}", hint=f"write {page}")
        post = client.post(_path_of(options.update, "updates"), document)
    if options.json:
        print_json(post)
    else:
        done = "created" if options.update is None else "updated"
        print(f"{post['id']}: {done} on page {plain(post['page'])}; status: {post['status']}")
    return EXIT_OK


def _edit(options: argparse.Namespace) -> int:
    client = client_of(options)
    number = options.number
    if number is None:
        number = len(client.get(_path_of(options.id))["updates"])
    post = client.patch(_path_of(options.id, "updates", str(number)), {"text": _text_of(options)})
    if options.json:
        print_json(post)
    else:
        print(f"{post['id']}: update {number} edited")
    return EXIT_OK


def _delete(options: argparse.Namespace) -> int:
    client = client_of(options)
    problems = []
    for post_id in dict.fromkeys(options.ids):
        try:
            client.delete(_path_of(post_id))
        except HTTPStatusError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            problems.append(error)
        else:
            print(f"{post_id}: deleted")
    for problem in problems:
        print(f"monitorctl: {problem}", file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK


def _posts(options: argparse.Namespace) -> int:
    client = client_of(options)
    response = client.get(f"{API}/posts", [] if options.page is None else [("page", options.page)])
    posts = response["posts"]
    if not posts and options.page is not None and options.page not in response["pages"]:
        raise unknown_page(response["pages"], options.page)
    if options.json:
        print_json(response)
    elif not posts:
        print("no posts")
    elif options.updates:
        times = LocalTimes()
        print("\n\n".join("\n".join(_lines(post, times)) for post in posts))
    else:
        local_zone = zone(post["created_at"] for post in posts)
        head = ("ID", "STATUS", f"CREATED ({local_zone})", "PAGE", "TITLE")
        rows = [
            (post["id"], post["status"], local(post["created_at"]), _page_of(post), post["title"])
            for post in posts
        ]
        print(
            "\n".join(table(head, rows, max_columns=max_columns(), colour=False, yielding=3, optional=(2,)))
        )
    return EXIT_OK


def _page_of(post: Json) -> str:
    """Return the page of a post, with a note if the public does not see the post."""
    return post["page"] if post["is_page_configured"] else f"{post['page']} (not configured)"


def _lines(post: Json, times: LocalTimes) -> Iterator[str]:
    """Yield a post with all its updates, the newest first, as pages show them."""
    yield plain(f"{post['id']}  {post['title']}")
    yield plain(f"page {_page_of(post)}")
    for update in reversed(post["updates"]):
        head = f"{update['number']}  {update['status']}, {times.moment(update['at'])} by {update['author']}"
        edited = ""
        if update["edited_at"] is not None:
            edited = f", edited {times.moment(update['edited_at'])} by {update['edited_by']}"
        yield plain(f"  {head}{edited}")
        yield from (f"     {plain(line)}".rstrip() for line in update["text"].splitlines())


def _text_of(options: argparse.Namespace) -> str:
    text: str = options.text
    return sys.stdin.read() if text == STANDARD_INPUT else text


def _path_of(*parts: str) -> str:
    return API + path_of("posts", *parts)


def _add_edit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="POST", help="ID of the post")
    _add_text(parser)
    parser.add_argument(
        "--number",
        type=positive_number,
        metavar="N",
        help="Number of the update (default: that of the last update)",
    )


def _add_delete_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="POST", nargs="+", help="IDs of posts")


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", metavar="PAGE", nargs="?", help="Only posts on this page")
    parser.add_argument("--updates", action="store_true", help="Show all updates with their texts")


POST = Command(
    "post",
    "Create a post on a public page, or add an update to it",
    _post,
    _add_post_options,
    has_json_option=True,
)
POSTS = Command("posts", "Show the posts on public pages", _posts, _add_list_options, has_json_option=True)
EDIT_POST = Command(
    "edit-post", "Replace the text of an update of a post", _edit, _add_edit_options, has_json_option=True
)
DELETE_POST = Command("delete-post", "Delete posts with all their updates", _delete, _add_delete_options)
