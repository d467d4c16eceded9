"""The options of `monitorctl probe`, which are known without all that a check needs: for help and completion."""

import argparse

from monitord.cli.parsing import duration, positive

TARGETS = 'https://HOST/PATH, tcp://HOST:PORT, tls://HOST, dns://SERVER/NAME, icmp://HOST or "exec:COMMAND"'

SCHEMES = ("https://", "http://", "tcp://", "tls://", "dns://", "icmp://", "exec:")
TYPES = ("http", "tcp", "tls", "dns", "icmp", "exec")


def add_probe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="URL|TYPE:ARGS", nargs="?", help=TARGETS)
    parser.add_argument("--type", metavar="TYPE", help="type of monitor, if the target does not say it")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="any key of monitord.toml(5)"
    )
    parser.add_argument("--method", metavar="METHOD", help="of a request over HTTP")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="of a request over HTTP"
    )
    parser.add_argument(
        "--up-when", action="append", default=[], metavar="CONDITION", help="what is wanted of the answer"
    )
    parser.add_argument(
        "--degraded-when", action="append", default=[], metavar="CONDITION", help="what makes it a warning"
    )
    parser.add_argument(
        "--timeout", default="10s", metavar="DURATION", help="how long a check may take (default: 10s)"
    )
    parser.add_argument("--count", type=positive, default=1, metavar="N", help="check N times")
    parser.add_argument(
        "--interval", type=duration, default=1.0, metavar="DURATION", help="from start to start (default: 1s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
