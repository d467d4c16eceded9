"""`python -m monitord.cli`: the command `monitorctl` in a source tree that is not installed."""

import sys

from monitord.cli.control_command import main

sys.exit(main())
