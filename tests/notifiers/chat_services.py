"""The documented schemas and limits of chat and push services, as checks of the requests to them.

`SERVICES` has the smallest configuration of each type, and a check, which returns the texts that people read in a
request. A limit in characters is checked in UTF-16 code units, the largest number of them.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers import Request

INVISIBLE = "\N{ZERO WIDTH SPACE}"
ANGLE = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
Shown = list[str]


@dataclass(frozen=True)
class Service:
    """`keys`: without `url`, which is that of a local server with `path`. `secret` is one of them."""

    keys: str
    secret: str
    check: Callable[[Request], Shown]
    path: str = ""
    is_grouping: bool = True


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def size(text: str) -> int:
    return len(text.encode())


def check_keys(found: dict[str, Any], required: str, optional: str = "") -> None:
    assert set(required.split()) <= found.keys() <= {*required.split(), *optional.split()}, found.keys()


def text_of(value: object, most: int) -> str:
    """A text that the service requires to be neither empty nor longer than `most`."""
    assert isinstance(value, str)
    assert 0 < units(value) <= most
    return value


def url_of(value: object, most: int = 3000) -> str:
    assert isinstance(value, str)
    assert urlsplit(value).scheme in {"http", "https"}
    assert "." in (urlsplit(value).hostname or "")
    return text_of(value, most)


def body_of(request: Request, method: str = "POST") -> Any:
    assert request.method == method
    assert request.headers["content-type"] == "application/json"
    return json.loads(request.body)


# Slack: "Block Kit" (reference of blocks and composition objects), "chat.postMessage"


def check_slack(request: Request) -> Shown:
    body = body_of(request)
    check_keys(body, "text attachments mrkdwn unfurl_links unfurl_media", "channel")
    assert body["mrkdwn"] is body["unfurl_links"] is body["unfurl_media"] is False
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text_of(body["text"], 4000))
    shown = [body["text"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")]
    assert len(body["attachments"]) <= 20
    for attachment in body["attachments"]:
        check_keys(attachment, "color blocks")
        assert re.fullmatch("#[0-9a-f]{6}", attachment["color"])
        assert 0 < len(attachment["blocks"]) <= 20
        for block in attachment["blocks"]:
            shown += _slack_block(block)
    assert sum(len(attachment["blocks"]) for attachment in body["attachments"]) <= 50
    return shown


def _slack_plain(found: dict[str, Any], most: int) -> str:
    check_keys(found, "type text emoji")
    assert (found["type"], found["emoji"]) == ("plain_text", False)
    return text_of(found["text"], most)


def _slack_block(block: dict[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield _slack_plain(block["text"], 150)
        case "section":
            check_keys(block, "type", "text fields")
            if "text" in block:
                yield _slack_plain(block["text"], 3000)
            assert "text" in block or 0 < len(block["fields"]) <= 10
            for field in block.get("fields", ()):
                yield _slack_plain(field, 2000)
        case "context":
            assert 0 < len(block["elements"]) <= 10
            for element in block["elements"]:
                yield _slack_plain(element, 2000)
        case "actions":
            assert 0 < len(block["elements"]) <= 25
            for button in block["elements"]:
                check_keys(button, "type text url")
                assert button["type"] == "button"
                yield _slack_plain(button["text"], 75)
                yield url_of(button["url"], 3000)
        case other:
            raise AssertionError(other)


# Mattermost: "Message attachments"; Rocket.Chat: "Message_MaxAllowedSize"


def check_mattermost(request: Request) -> Shown:
    body = body_of(request)
    check_keys(body, "text attachments")
    marked = [text_of(body["text"], 5000)]
    plain: list[str] = []
    for attachment in body["attachments"]:
        check_keys(attachment, "color fallback text", "title fields")
        plain.append(text_of(attachment["fallback"], 200))
        marked.append(attachment["text"])
        plain.append(attachment.get("title", ""))
        for field in attachment.get("fields", ()):
            check_keys(field, "title value short")
            plain.append(field["title"])
            marked.append(text_of(field["value"], 5000))
    assert sum(map(units, marked)) <= 5000
    for text in (*marked, *plain):
        assert not re.search(r"<\S", text)
    return [unmarked(text).replace(ANGLE, "<") for text in marked] + [visible(text) for text in plain]


# Discord: "Execute Webhook", "Embed Limits"


def check_discord(request: Request) -> Shown:
    body = body_of(request)
    check_keys(body, "content embeds allowed_mentions")
    assert body["allowed_mentions"] == {"parse": []}
    marked = [text_of(body["content"], 2000)]
    assert 0 < len(body["embeds"]) <= 10
    in_embeds: list[str] = []
    plain: list[str] = []  # a footer is not Markdown
    for embed in body["embeds"]:
        check_keys(embed, "color", "title description fields footer")
        assert 0 <= embed["color"] <= 0xFFFFFF
        if "title" in embed:
            in_embeds.append(text_of(embed["title"], 256))
        if embed.get("description"):
            in_embeds.append(text_of(embed["description"], 4096))
        assert len(embed.get("fields", ())) <= 25
        for field in embed.get("fields", ()):
            check_keys(field, "name value", "inline")
            in_embeds += [text_of(field["name"], 256), text_of(field["value"], 1024)]
        if "footer" in embed:
            check_keys(embed["footer"], "text")
            plain.append(text_of(embed["footer"]["text"], 2048))
    assert sum(map(units, (*in_embeds, *plain))) <= 6000
    return [unmarked(text, "|") for text in (*marked, *in_embeds)] + plain


def without_code(text: str) -> str:
    """Markdown without its fenced blocks, each of which is closed."""
    assert text.count("```") % 2 == 0
    return re.sub(r"```\n.*?\n```", "", text, flags=re.DOTALL)


def visible(text: str) -> str:
    return text.replace(INVISIBLE, "")


def unmarked(text: str, special: str = "") -> str:
    """The text that a reader of Markdown sees. Fails for any markup except a bold title and a fenced block.

    `special`: a character that is markup in this dialect only.
    """
    rest = without_code(text)
    assert not re.search(r"(?<!\w)@\w|\]\(", rest)
    assert not re.search(r"^\s*(?:[#>|+=-]|\d+[.)])", rest, re.MULTILINE)
    literal = re.sub(r"https?://[\w.~:/?#&=%+,;!$'-]+|\\[\\*_~`|<]", "", rest)
    literal = re.sub(r"^\*\*[^*\n]*\*\*$", "", literal, flags=re.MULTILINE)
    assert not re.search(rf"[*_~`{special}]|<\S", literal), literal
    return visible(re.sub(r"\\([\\*_~`|<])", r"\1", text))


# Microsoft Teams: "Incoming Webhooks" (28 KB), Adaptive Cards schema 1.4


def check_teams(request: Request) -> Shown:
    body = body_of(request)
    assert len(request.body) <= 28 * 1024
    check_keys(body, "type attachments")
    assert body["type"] == "message"
    (attachment,) = body["attachments"]
    check_keys(attachment, "contentType contentUrl content")
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    check_keys(card, "$schema type version msteams body")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    return [text for element in card["body"] for text in _card_element(element)]


def _card_element(element: dict[str, Any]) -> Iterator[str]:
    match element["type"]:
        case "Container":
            check_keys(element, "type style bleed items")
            assert element["style"] in {"default", "emphasis", "good", "attention", "warning", "accent"}
            for item in element["items"]:
                yield from _card_element(item)
        case "RichTextBlock":
            check_keys(element, "type spacing inlines")
            for run in element["inlines"]:
                check_keys(run, "type text", "weight color size isSubtle fontType")
                assert run["type"] == "TextRun"
                assert "{{" not in run["text"]
                assert "\n" not in run["text"]
            yield visible("".join(text_of(run["text"], 28_000) for run in element["inlines"]))
        case "ActionSet":
            assert 0 < len(element["actions"]) <= 6
            for action in element["actions"]:
                check_keys(action, "type title url")
                assert action["type"] == "Action.OpenUrl"
                yield f"{action['title']}: {url_of(action['url'])}"
        case other:
            raise AssertionError(other)


# Telegram: "Bot API", sendMessage, MessageEntity, InlineKeyboardButton

TELEGRAM_TOKEN = "123456789:AAExample-Token_0123456789abcdefghi"


def check_telegram(request: Request) -> Shown:
    assert request.target == f"/bot{TELEGRAM_TOKEN}/sendMessage"
    body = body_of(request)
    check_keys(body, "chat_id text entities link_preview_options", "reply_markup")
    assert body["chat_id"] == -1001234567890
    assert body["link_preview_options"] == {"is_disabled": True}
    text = text_of(body["text"], 4096)
    assert len(body["entities"]) <= 100
    for entity in body["entities"]:
        check_keys(entity, "type offset length")
        assert entity["type"] in {"bold", "italic", "pre"}
        assert entity["length"] > 0
        assert entity["offset"] + entity["length"] <= units(text)
    assert not re.search(r"(?<!\w)@\w|(?:^|\s)/\w", text)
    shown = [visible(text)]
    for row in body.get("reply_markup", {"inline_keyboard": []})["inline_keyboard"]:
        assert 0 < len(row) <= 8
        for button in row:
            check_keys(button, "text url")
            shown.append(f"{text_of(button['text'], 64)}: {url_of(button['url'])}")
    return shown


# Matrix: "Client-Server API", "Size limits", "m.room.message msgtypes"


def check_matrix(request: Request) -> Shown:
    key = request.headers["idempotency-key"]
    room, _, rest = request.target.removeprefix("/_matrix/client/v3/rooms/").partition("/")
    assert (unquote(room), rest) == ("!abcdef:example.org", f"send/m.room.message/{key}")
    assert request.headers["authorization"] == "Bearer syt_0123456789_example"
    body = body_of(request, "PUT")
    # The event has other members as well: signatures, hashes, the sender and previous events.
    assert size(json.dumps(body, ensure_ascii=False)) <= 65_536 - 4096
    check_keys(body, "msgtype body format formatted_body m.mentions")
    assert (body["msgtype"], body["format"]) == ("m.text", "org.matrix.custom.html")
    assert body["m.mentions"] == {}
    document = _MatrixDocument()
    document.feed(body["formatted_body"])
    document.close()
    assert document.open_elements == []
    text_of(body["body"], 65_536)
    return ["\n".join(document.texts), *document.addresses]


class _MatrixDocument(HTMLParser):
    """Text and links of HTML with the elements and attributes that the specification lists."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open_elements: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"font": {"color", "data-mx-color"}, "a": {"href"}}.get(tag, set())
        assert tag in {"p", "br", "strong", "em", "font", "a", "pre", "code"}
        assert {name for name, _ in attrs} <= names
        self.addresses += [url_of(value) for name, value in attrs if name == "href"]
        if tag != "br":
            self.open_elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_elements.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# ntfy: "Publish as JSON", "Limitations"


def check_ntfy(request: Request) -> Shown:
    assert request.target == "/"
    assert request.headers["authorization"] == "Bearer tk_0123456789example"
    body = body_of(request)
    check_keys(body, "topic title message priority tags", "click actions")
    assert body["topic"] == "monitord-alerts"
    assert 1 <= body["priority"] <= 5
    assert all(re.fullmatch("[a-z_]+", tag) for tag in body["tags"])
    assert 0 < size(body["message"]) <= 4096
    assert 0 < size(body["title"]) <= 250
    shown = [body["title"], body["message"]]
    assert len(body.get("actions", ())) <= 3
    for action in body.get("actions", ()):
        check_keys(action, "action label url")
        assert action["action"] == "view"
        shown.append(f"{action['label']}: {url_of(action['url'])}")
    return shown


# Gotify: "Push messages", "Message extras"


def check_gotify(request: Request) -> Shown:
    assert request.target == "/message"
    assert request.headers["x-gotify-key"] == "AExample0123456"
    body = body_of(request)
    check_keys(body, "title message priority extras")
    assert 0 <= body["priority"] <= 10
    assert body["extras"]["client::display"] == {"contentType": "text/plain"}
    assert 0 < size(body["title"]) + size(body["message"]) <= 65_535
    return [body["title"], body["message"]]


# Opsgenie: "Alert API", "Alert API (continued)"


def check_opsgenie(request: Request) -> Shown:
    assert request.headers["authorization"] == "GenieKey 01234567-89ab-cdef-0123-456789abcdef"
    path, _, query = request.target.partition("?")
    if path.endswith("/priority"):
        body = body_of(request, "PUT")
        assert re.fullmatch(r"/v2/alerts/[^/]+/priority", path)
        assert query == "identifierType=alias"
        check_keys(body, "priority")
        assert re.fullmatch("P[1-5]", body["priority"])
        return []
    body = body_of(request)
    if path != "/v2/alerts":
        assert re.fullmatch(r"/v2/alerts/[^/]+/(?:close|notes)", path)
        assert query == "identifierType=alias"
        check_keys(body, "user source note")
        text_of(body["source"], 100)
        return [visible(text_of(body["note"], 25_000))]
    assert not query
    check_keys(body, "message alias description tags details entity source user priority")
    texts = [text_of(body["message"], 130), text_of(body["description"], 15_000)]
    text_of(body["alias"], 512)
    text_of(body["entity"], 512)
    text_of(body["source"], 100)
    assert len(body["tags"]) <= 20
    assert all(units(tag) <= 50 for tag in body["tags"])
    assert re.fullmatch("P[1-5]", body["priority"])
    assert sum(units(name) + units(value) for name, value in body["details"].items()) <= 8000
    texts += [*body["details"].values(), body["source"]]
    assert not any(re.search(r"<[A-Za-z/!]", text) for text in texts)
    return [visible(text) for text in texts]


SERVICES = {
    "slack": Service("", "aBcDeFgHiJkLmNoP", check_slack, "/services/T01ABCDEF/B02ABCDEF/aBcDeFgHiJkLmNoP"),
    "mattermost": Service("", "Xen8jtbzqo1", check_mattermost, "/hooks/Xen8jtbzqo1"),
    "discord": Service(
        "", "Tok-En_0123456789", check_discord, "/api/webhooks/012345678901234567/Tok-En_0123456789"
    ),
    "teams": Service(
        "",
        "Sig_0123456789-abcdef",
        check_teams,
        "/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=2016-06-01&sig=Sig_0123456789-abcdef",
    ),
    "telegram": Service(
        f'token = "{TELEGRAM_TOKEN}"\nchat_id = -1001234567890', TELEGRAM_TOKEN, check_telegram
    ),
    "matrix": Service(
        'access_token = "syt_0123456789_example"\nroom_id = "!abcdef:example.org"',
        "syt_0123456789_example",
        check_matrix,
    ),
    "ntfy": Service(
        'topic = "monitord-alerts"\ntoken = "tk_0123456789example"', "tk_0123456789example", check_ntfy
    ),
    "gotify": Service('token = "AExample0123456"', "AExample0123456", check_gotify),
    "opsgenie": Service(
        'api_key = "01234567-89ab-cdef-0123-456789abcdef"',
        "01234567-89ab-cdef-0123-456789abcdef",
        check_opsgenie,
        is_grouping=False,
    ),
}
