"""`monitorctl`: the client of the daemon's status socket. It imports little, so that it starts quickly.

`commands` lists its commands, `exit_status` its exit statuses.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from monitord import __version__
from monitord.cli.client.connection import DaemonUnreachableError
from monitord.cli.command_line import parse
from monitord.cli.commands import COMMANDS
from monitord.cli.exit_status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_DAEMON, EXIT_OK
from monitord.errors import ControlError
from monitord.text import plain


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(COMMANDS, sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # it was closed before the start
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Responses of others may contain characters that the encoding of the terminal does not have.
        sys.stdout.reconfigure(errors="replace")
    run: Callable[..., int] = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except DaemonUnreachableError as error:
        return _fail(str(error), EXIT_NO_DAEMON)
    except ControlError as error:
        return _fail(str(error))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        # JSON with other keys, types or values: from another release, or not from monitord.
        return _fail(
            f"the response does not have the structure that monitorctl {__version__} expects "
            f"({type(error).__name__}: {plain(str(error))}); if the package was upgraded, run: "
            "systemctl restart monitord; otherwise check that --socket or --url is the address of monitord"
        )
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        _discard_output()
        return EXIT_OK
    except OSError as error:
        # Network errors are ControlErrors: this one is an error of standard output.
        _discard_output()
        return _fail(f"cannot write the output: {error.strerror or error}")
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    return status


def _fail(message: str, status: int = EXIT_FAILED) -> int:
    print(f"monitorctl: {message}", file=sys.stderr)
    return status


def _discard_output() -> None:
    """Keep Python from reporting at exit that buffered output cannot be written."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
