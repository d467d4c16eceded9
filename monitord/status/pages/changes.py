"""Forms that change monitors and silences: the operations of the API and of monitorctl, for browsers.

A form is sent with POST. After a change, the browser is redirected (303) to a page that shows its outcome, so that
reloading that page does not repeat the change. A form with errors is shown again with the entered values.
`security` has authorized each POST before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from monitord.clock import time_text
from monitord.dispatch import Matcher, MonitorEntry
from monitord.errors import ControlError
from monitord.status.access.security import requested_by
from monitord.status.api.actions import check_outcome
from monitord.status.pages import wording
from monitord.status.pages.form_handlers import FormHandlers, read_form, require_rights
from monitord.status.pages.forms import DURATIONS, FieldErrors, SilenceForm, read_comment, read_selection
from monitord.status.pages.frame import Frame, Notice
from monitord.status.pages.parts import PageParts
from monitord.web import HTTPNotFound, Request, Response

MAX_PREVIEWED = 100
"""Names in the preview of a silence."""


@dataclass(frozen=True, slots=True)
class CommentDialog:
    """The form of a change that has a comment and no other fields."""

    action: str
    title: str
    explanation: str
    button: str
    done: str


ACKNOWLEDGE = CommentDialog(
    "acknowledge",
    "Acknowledge the incident",
    "No further notifications about this incident are sent, except for the recovery notification.",
    "Acknowledge",
    "incident acknowledged",
)
PAUSE = CommentDialog(
    "pause",
    "Pause the monitor",
    "No checks are scheduled until the monitor is resumed. The time until then does not count towards the uptime.",
    "Pause",
    "paused",
)


class ChangeHandlers(FormHandlers):
    """The handlers of the forms."""

    def __init__(self, parts: PageParts, frame: Frame) -> None:
        super().__init__(parts, frame)
        self._interventions = parts.interventions

    # -- one monitor --------------------------------------------------------------------------------------

    async def acknowledge_form(self, request: Request) -> Response:
        return await self._comment_form(request, ACKNOWLEDGE)

    async def acknowledge(self, request: Request) -> Response:
        return await self._change_with_comment(request, ACKNOWLEDGE, self._interventions.acknowledge)

    async def pause_form(self, request: Request) -> Response:
        return await self._comment_form(request, PAUSE)

    async def pause(self, request: Request) -> Response:
        return await self._change_with_comment(request, PAUSE, self._interventions.pause)

    async def unacknowledge(self, request: Request) -> Response:
        return await self._change(request, self._interventions.unacknowledge, "acknowledgement removed")

    async def resume(self, request: Request) -> Response:
        return await self._change(request, self._interventions.resume, "resumed")

    async def check(self, request: Request) -> Response:
        await read_form(request)
        name = self._entry(request).name
        try:
            outcome = await check_outcome(
                self._parts.control, name, requested_by(request), self._parts.check_wait_s
            )
        except TimeoutError:
            notice = Notice(f"{name}: the check is still running; its result is shown here when it ends.")
        else:
            if isinstance(outcome, str):
                notice = Notice(f"{name}: {outcome}", is_problem=True)
            else:
                seen = outcome.observation
                notice = Notice(f"{name}: checked: {outcome.verdict.value}, {seen.outcome_with_note}")
        return self._redirect(request, _path_of(name), notice)

    async def _comment_form(
        self,
        request: Request,
        dialog: CommentDialog,
        comment: str = "",
        errors: Mapping[str, str] = {},
        status: int = 200,
    ) -> Response:
        require_rights(request)
        entry = self._entry(request)
        values = {"dialog": dialog, "entry": entry, "comment": comment, "errors": errors, "page": ""}
        return await self._frame.page(request, "comment_form.html", values, status=status)

    async def _change_with_comment(
        self, request: Request, dialog: CommentDialog, change: Callable[[str, str, str | None], None]
    ) -> Response:
        text = (await read_form(request)).get("comment", "")
        name, by, errors = self._entry(request).name, requested_by(request), FieldErrors()
        comment = read_comment(text, errors)
        if errors:
            return await self._comment_form(request, dialog, text, errors, status=400)
        try:
            change(name, by, comment)
        except ValueError as error:
            return await self._comment_form(request, dialog, text, {"": f"{name}: {error}"}, status=409)
        return await self._stored(request, _path_of(name), f"{name}: {dialog.done} by {by}")

    async def _change(self, request: Request, change: Callable[[str, str], None], done: str) -> Response:
        await read_form(request)
        name, by = self._entry(request).name, requested_by(request)
        try:
            change(name, by)
        except ValueError as error:
            return self._redirect(request, _path_of(name), Notice(f"{name}: {error}", is_problem=True))
        return await self._stored(request, _path_of(name), f"{name}: {done} by {by}")

    # -- silences -----------------------------------------------------------------------------------------

    async def silence_form(self, request: Request) -> Response:
        return await self._silence_form(request, SilenceForm(), {}, self._entry(request))

    async def silence(self, request: Request) -> Response:
        """Silence the monitor in the path."""
        form = SilenceForm.of(await read_form(request))
        entry, errors = self._entry(request), FieldErrors()
        text = self._add_silence(form, Matcher((entry.name,)), entry.name, requested_by(request), errors)
        if text is None:
            return await self._silence_form(request, form, errors, entry, status=400)
        return await self._stored(request, _path_of(entry.name), text)

    async def new_silence_form(self, request: Request) -> Response:
        """The form for several monitors, with a preview if a selection is given in the query."""
        form, errors = SilenceForm.of(request.query), FieldErrors()
        selected = None
        if form.monitors.strip() or form.tags.strip():
            selected = read_selection(form, self._parts.dispatcher.entries, errors)
        elif "monitors" in request.query:
            errors["monitors"] = "no monitor is selected; write names, patterns or tags"
        preview = None if selected is None else selected[1]
        return await self._silence_form(request, form, errors, preview=preview)

    async def new_silence(self, request: Request) -> Response:
        """Silence the selected monitors."""
        form, errors = SilenceForm.of(await read_form(request)), FieldErrors()
        selected = read_selection(form, self._parts.dispatcher.entries, errors)
        matcher, names = (Matcher(), []) if selected is None else selected
        subject = wording.several(len(names), "monitor")
        text = self._add_silence(form, matcher, subject, requested_by(request), errors)
        if text is None:
            return await self._silence_form(
                request, form, errors, preview=None if selected is None else names, status=400
            )
        return await self._stored(request, "silences", text)

    async def end_silence(self, request: Request) -> Response:
        await read_form(request)
        by = requested_by(request)
        try:
            self._interventions.unsilence(request.match_info["id"], by)
        except KeyError:
            return self._redirect(
                request, "silences", Notice("This silence has ended already.", is_problem=True)
            )
        return await self._stored(request, "silences", f"silence {request.match_info['id']} ended by {by}")

    def _add_silence(
        self, form: SilenceForm, matcher: Matcher, subject: str, by: str, errors: FieldErrors
    ) -> str | None:
        """Add the silence and return the outcome; None if `errors` contains an error, including a previous error."""
        until = errors.read("until", lambda: form.end(self._parts.clock.now()))
        comment = read_comment(form.comment, errors)
        if errors or until is None:
            return None
        try:
            self._interventions.silence(matcher, until, comment, by, is_end_fixed=bool(form.until.strip()))
        except ControlError as error:
            errors[""] = str(error)
            return None
        return f"{subject}: silenced until {time_text(until)} by {by}"

    async def _silence_form(
        self,
        request: Request,
        form: SilenceForm,
        errors: Mapping[str, str],
        entry: MonitorEntry | None = None,
        *,
        preview: list[str] | None = None,
        status: int = 200,
    ) -> Response:
        require_rights(request)
        entries = self._parts.dispatcher.entries
        values: dict[str, Any] = {
            "form": form,
            "errors": errors,
            "entry": entry,
            "durations": {value: text for value, (text, _) in DURATIONS.items()},
            "preview": None if preview is None else [entries[name] for name in preview[:MAX_PREVIEWED]],
            "matching": 0 if preview is None else len(preview),
            "page": "" if entry is not None else "silences",
        }
        return await self._frame.page(request, "silence_form.html", values, status=status)

    # -- responses ----------------------------------------------------------------------------------------

    def _entry(self, request: Request) -> MonitorEntry:
        """Return the monitor in the path. Raises HTTPNotFound."""
        name = request.match_info["name"]
        try:
            return self._parts.dispatcher.entries[name]
        except KeyError:
            raise HTTPNotFound(text=f"no monitor has the name {name!r}\n") from None


def _path_of(name: str) -> str:
    return f"m/{quote(name, safe='')}"
