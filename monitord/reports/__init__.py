"""Reports: uptime, incidents and response times of a calendar month, a week or another period.

`build` reads the history and returns a frozen `Report`. `text` and `html` render it for people; its JSON is that of the
API (`monitord.status.api.report`).
"""
