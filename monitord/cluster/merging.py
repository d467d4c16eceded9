"""The alert of a monitor after a node was alone, from the alerts of the cluster and of the node: `merged`.

| cluster   | node      | afterwards                                                                        |
|-----------|-----------|-----------------------------------------------------------------------------------|
| no alert  | no alert  | no alert                                                                          |
| an alert  | the same  | per notifier, the progress with the larger count                                  |
| an alert  | another   | the same, under the id of the cluster                                             |
| no alert  | an alert  | that of the node                                                                  |
| an alert  | no alert  | every notifier got its recovery: each open progress is closed and counts one more |

The alert is kept in the last case, because the monitor may still be down for the cluster: the numbers of notifications
continue, so that none has the id of an earlier one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitord.alerts.lifecycle import NotifierProgress, alert_from_record, alert_record


def merged(cluster: Mapping[str, Any] | None, local: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the record of the alert (`alert_record`) for the cluster; the same object if nothing changes.

    Raises KeyError, TypeError, ValueError or AttributeError for other input.
    """
    if cluster is None:
        return local
    alert = alert_from_record(cluster)
    if local is None:
        notifiers = {name: _closed(progress) for name, progress in alert.notifiers.items()}
    else:
        notifiers = dict(alert.notifiers)
        for name, progress in alert_from_record(local).notifiers.items():
            known = notifiers.get(name)
            if known is None or progress.count > known.count:
                notifiers[name] = progress
    if notifiers == alert.notifiers:
        return cluster
    return alert_record(replace(alert, notifiers=notifiers))


def _closed(progress: NotifierProgress) -> NotifierProgress:
    if not progress.is_open:
        return progress
    return replace(progress, count=progress.count + 1, state=None, flapping_since=None, dropped_kind=None)
