"""Reads a file as the daemon does and prints its errors as JSON, for `monitorctl import`.

This needs the code of the daemon, so it runs as another process: python3 -m monitord.cli.importing.check FILE.
"""

import json
import sys
from pathlib import Path

from monitord.config import ConfigAccess
from monitord.errors import ConfigError
from monitord.settings import read_settings


def main() -> int:
    errors: list[dict[str, object]] = []
    try:
        read_settings(Path(sys.argv[1]), access=ConfigAccess.OTHER_USER)
    except ConfigError as error:
        errors = [
            {
                "path": [str(part) for part in diagnostic.path],
                "problem": diagnostic.problem,
                "hint": diagnostic.hint,
            }
            for diagnostic in error.diagnostics
        ]
    print(json.dumps(errors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
