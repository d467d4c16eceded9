"""Compare monitord.web with its peers: bench/web/run.py PART [OPTIONS].

Needs wrk and taskset (apt-get install wrk util-linux); the peers are installed from PyPI into .cache/web-peers on first
use. Compare ratios within one run, not numbers of two runs.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import conformance
import idle
import routing
import slowloris
import soak
import throughput

PARTS = {
    "throughput": throughput,
    "idle": idle,
    "slowloris": slowloris,
    "routing": routing,
    "soak": soak,
    "conformance": conformance,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, part in PARTS.items():
        first_line = (part.__doc__ or "").partition("\n")[0]
        part.add_options(
            chosen.add_parser(
                name,
                help=first_line,
                description=part.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    chosen.add_parser("all", help="all of them with their defaults, the soak for a minute")
    options = parser.parse_args()
    if options.part != "all":
        print(PARTS[options.part].main(options))
        return 0
    for name, part in PARTS.items():
        defaults = argparse.ArgumentParser()
        part.add_options(defaults)
        print(
            f"## {name}\n\n{part.main(defaults.parse_args(['--minutes', '1'] if name == 'soak' else []))}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
