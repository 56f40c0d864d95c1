"""``python -m fusionkit_training`` is ``fusionkit train``."""

import sys

from fusionkit.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
