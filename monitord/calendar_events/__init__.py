"""Calendar events as systemd's timers have them: "Mon..Fri 09:00", "*-*~03 22:00 Europe/Berlin", "hourly".

    event = parse_calendar_event("Mon..Fri *-*-* 09..17:00/15 Europe/Berlin")
    str(event)                        # as `systemd-analyze calendar` normalises it
    event.next_after(moment)          # the first moment after this one; None: there is none until 2199
    event.previous_or_at(moment)      # the last one until then

The language is that of systemd.time(7), CALENDAR EVENTS, so that an administrator can write here what stands in
OnCalendar=. `component` is one field of it, `event` the search, `zones` what a clock on the wall does twice a year.
"""

from monitord.calendar_events.event import CalendarEvent
from monitord.calendar_events.parsing import parse_calendar_event

__all__ = ["CalendarEvent", "parse_calendar_event"]
