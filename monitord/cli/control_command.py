"""`monitorctl`: asks the running daemon over its status socket. Imports little, so that it starts at once.

`commands` has what it can do, `exits` how it ends.
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
from monitord.cli.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_DAEMON, EXIT_OK
from monitord.errors import ControlError


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(COMMANDS, sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # it was closed when we began
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A peer may say what this terminal has no letters for.
        sys.stdout.reconfigure(errors="replace")
    run: Callable[..., int] = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except DaemonUnreachableError as error:
        return _fail(str(error), EXIT_NO_DAEMON)
    except ControlError as error:
        return _fail(str(error))
    except (LookupError, TypeError, AttributeError) as error:
        # JSON of another form: another release's, or not a monitord's at all.
        return _fail(
            f"the answer has not the form that monitorctl {__version__} knows ({type(error).__name__}: {error}); "
            "if the package was upgraded, run `systemctl restart monitord`; else see whether this is a monitord"
        )
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough.
        _drop_output()
        return EXIT_OK
    except OSError as error:
        # Those of the network were told already: what was to be printed cannot be written.
        _drop_output()
        return _fail(f"cannot write: {error.strerror or error}")
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    return status


def _fail(said: str, status: int = EXIT_FAILED) -> int:
    print(f"monitorctl: {said}", file=sys.stderr)
    return status


def _drop_output() -> None:
    """Python must not complain at exit of what waits to be written."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
