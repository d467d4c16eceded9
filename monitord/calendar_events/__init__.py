"""Calendar events as in systemd timers: "Mon..Fri 09:00", "*-*~03 22:00 Europe/Berlin", "hourly".

    event = parse_calendar_event("Mon..Fri *-*-* 09..17:00/15 Europe/Berlin")
    str(event)                        # as `systemd-analyze calendar` normalizes it
    event.next_after(moment)          # the first occurrence after this moment; None if there is none until 2199
    event.previous_or_at(moment)      # the last occurrence at or before this moment

The syntax is that of OnCalendar= (systemd.time(7), CALENDAR EVENTS). `component` is one field of an event, `event`
the search for occurrences, `zones` the conversion of local times at changes of the UTC offset.
"""

from monitord.calendar_events.event import CalendarEvent
from monitord.calendar_events.parsing import parse_calendar_event

__all__ = ["CalendarEvent", "parse_calendar_event"]
