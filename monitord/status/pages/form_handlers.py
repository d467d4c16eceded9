"""The common part of the handlers of forms: reading a form, and the redirect to a page that shows the outcome."""

from collections.abc import Mapping

from monitord.status.access.security import has_write_access, require_form_of_browser
from monitord.status.api.interventions import storage_problem
from monitord.status.pages.frame import Frame, Notice, root_of
from monitord.status.pages.parts import PageParts
from monitord.web import HTTPForbidden, HTTPSeeOther, Request, Response


class FormHandlers:
    """Base of handlers of forms. A change is answered with a redirect (303), so that reloading does not repeat it."""

    def __init__(self, parts: PageParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def _stored(self, request: Request, path: str, done: str) -> Response:
        """Redirect after a change, when it is stored. A change that a crash would undo is shown as a problem."""
        problem = await storage_problem(self._parts.past)
        notice = Notice(done)
        if problem is not None:
            notice = Notice(
                f"{done}. The change could not be stored ({problem}), and is lost at the next restart.",
                is_problem=True,
            )
        return self._redirect(request, path, notice)

    def _redirect(self, request: Request, path: str, notice: Notice) -> Response:
        return HTTPSeeOther(f"{root_of(request)}{path}?notice={self._frame.notices.add(notice)}")


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields. Raises HTTPForbidden unless a page of this daemon has sent them."""
    require_form_of_browser(request)
    return await request.form() if request.body_exists else {}


def require_rights(request: Request) -> None:
    """Raise HTTPForbidden if the client cannot send the form."""
    if not has_write_access(request):
        raise HTTPForbidden(
            text="Changes are permitted over the Unix socket, to root and to members of the group of the daemon, "
            "and to users with a login at a reverse proxy. Programs can use the API with a token."
        )
