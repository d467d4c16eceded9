"""`python -m monitord` is the command `monitord`."""

import sys

from monitord.cli.start import main

sys.exit(main())
