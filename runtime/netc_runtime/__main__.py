"""Let `python -m netc_runtime` be the command."""

import sys

from netc_runtime.cli import main

sys.exit(main())
