"""Run the benchmarks of monitord, compared with its peers: bench/run.py [PART [OPTIONS]].

Without PART all are run, in about three quarters of an hour. Two cores are enough. On a shared machine, compare only
numbers of the same run. See bench/README.md; bench/RESULTS.md contains results.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Without the folder of the script, whose module names would hide others.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "bench"))]

PARTS = (
    "dispatcher",
    "checks",
    "start",
    "lateness",
    "damage",
    "status",
    "history",
    "mixed",
    "alerts",
    "notifications",
    "crashes",
    "cluster",
    "cluster_alone",
    "cluster_cpu",
    "cluster_sql",
    "replay",
    "hostile",
    "discovery",
)
PACKAGES = (
    "dnsmasq-base",
    "monitoring-plugins-basic",
    "iproute2",
    "nginx-light",
    "postgresql",
    "python3-psycopg",
    "util-linux",
    "python3-uvloop",
    "python3-cryptography",
    "wrk",
)


def main() -> int:
    subprocess.run([ROOT / ".ci" / "install", "--depends", *PACKAGES], check=True)
    parts = {name: importlib.import_module(f"bench.{name}") for name in PARTS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_subparsers(dest="part", metavar="PART")
    for name, part in parts.items():
        part_parser = chosen.add_parser(
            name,
            help=(part.__doc__ or "").partition("\n")[0],
            description=part.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.add_options(part_parser)
    options = parser.parse_args()
    print(f"{_machine()}\n")
    for name, part in parts.items():
        if options.part not in {None, name}:
            continue
        if options.part is None:
            defaults = argparse.ArgumentParser()
            part.add_options(defaults)
            options_of_part = defaults.parse_args([])
        else:
            options_of_part = options
        print(f"## {name}\n\n{part.main(options_of_part)}\n", flush=True)
    return 0


def _machine() -> str:
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load before: {load}"
    )


if __name__ == "__main__":
    sys.exit(main())
