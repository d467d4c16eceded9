"""`python -m monitord` is the command `monitord`."""

import sys

from monitord.cli.daemon_command import main

sys.exit(main())
