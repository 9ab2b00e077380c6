"""``python -m daybreak.cli``."""

import sys

from daybreak.cli import main

sys.exit(main())
