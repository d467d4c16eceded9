"""`python -m monitord.cli` is the command `monitorctl`, for a tree that is not installed."""

import sys

from monitord.cli.control_command import main

sys.exit(main())
