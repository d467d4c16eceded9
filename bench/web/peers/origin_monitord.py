"""The conformance origin on monitord.web: origin_monitord.py PORT FILE."""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

from web_conformance.origin_monitord import make_application

from monitord.web import run_app

logging.disable(logging.CRITICAL)
run_app(make_application(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]))
