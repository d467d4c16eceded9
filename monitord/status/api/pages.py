"""The public pages: their list, and their files for an export."""

from base64 import b64encode

from monitord.public_pages.pages import PublicPages
from monitord.status.access.responses import compact_json_response
from monitord.status.api.openapi import PREFIX, ApiEndpoint, ResponseSpec
from monitord.status.model.query import QueryValues
from monitord.web import HTTPNotFound, Request, Response


class PublicPageApi:
    """Handlers of the endpoints."""

    def __init__(self, pages: PublicPages) -> None:
        self._pages = pages

    async def list(self, _: Request, __: QueryValues) -> Response:
        return compact_json_response(
            {
                "pages": [
                    {
                        "name": settings.name,
                        "title": settings.title,
                        "published": settings.is_published,
                        "listen": [
                            *map(str, settings.listen),
                            *([] if settings.socket is None else [str(settings.socket)]),
                        ],
                    }
                    for settings in self._pages.settings
                ]
            }
        )

    async def files(self, request: Request, _: QueryValues) -> Response:
        name = request.match_info["name"]
        page = self._pages.get(name)
        if page is None:
            raise HTTPNotFound(
                text=f"no public page has the name {name!r}; GET {PREFIX}/pages lists the pages\n"
            )
        files = [
            {"path": path, "content_type": file.content_type, "body": b64encode(file.body).decode()}
            for path, file in (await page.files()).items()
        ]
        return compact_json_response({"files": files})


def public_page_endpoints(pages: PublicPages) -> list[ApiEndpoint]:
    handlers = PublicPageApi(pages)
    return [
        ApiEndpoint(
            "GET",
            "/pages",
            handlers.list,
            "listPages",
            "Pages",
            "List public pages",
            "Returns the pages of the configuration.",
            {200: ResponseSpec("The pages.", "Pages")},
        ),
        ApiEndpoint(
            "GET",
            "/pages/{name}/files",
            handlers.files,
            "getPageFiles",
            "Pages",
            "Get the files of a page",
            "Returns all files of a page, whose links are relative, for a web server or a CDN. The HTML comes last.",
            {200: ResponseSpec("The files.", "PageFiles")},
        ),
    ]
