"""`monitorctl reports`: the scheduled reports, their next time and the outcome of their delivery."""

import argparse

from monitord.cli.client.connection import API
from monitord.cli.client.requests import client_of, print_json
from monitord.cli.command import Command
from monitord.cli.exit_status import EXIT_FAILED, EXIT_OK
from monitord.cli.output.tables import table
from monitord.cli.output.terminal import max_columns
from monitord.cli.output.wording import LocalTimes, local, zone
from monitord.text import plain


def _run(options: argparse.Namespace) -> int:
    response = client_of(options).get(f"{API}/reports")
    reports = response["reports"]
    if options.json:
        print_json(response)
    elif not reports:
        print("no reports are scheduled; add [reports.NAME] to the configuration, see monitord.toml(5)")
    else:
        local_zone = zone(report["next_at"] for report in reports)
        head = ("REPORT", "PERIOD", f"NEXT ({local_zone})", "RECIPIENTS", "STATE")
        times = LocalTimes(local_zone)
        rows = []
        for report in reports:
            directory = report["directory"]
            recipients = [*report["notify"], *([] if directory is None else [plain(directory)])]
            state = "not delivered since the start of the daemon"
            if report["last_period"] is not None:
                state = f"{report['last_period']} delivered at {times.moment(report['last_delivered_at'])}"
            if report["error"] is not None:
                state = f"failing since {times.moment(report['failing_since'])}: {plain(report['error'])}"
            next_at = "-" if report["next_at"] is None else local(report["next_at"])
            rows.append((report["name"], report["period"], next_at, ", ".join(recipients), state))
        print("\n".join(table(head, rows, max_columns=max_columns(), colour=False, optional=(1, 3))))
    return EXIT_FAILED if any(report["error"] for report in reports) else EXIT_OK


REPORTS = Command(
    "reports",
    "Show the scheduled reports and their delivery",
    _run,
    has_json_option=True,
    details="The exit status is 1 if the last delivery attempt of a report has failed.",
)
