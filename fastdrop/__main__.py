"""``python -m fastdrop`` is the command ``fastdrop``."""

import sys

from fastdrop.cli import main

sys.exit(main())
