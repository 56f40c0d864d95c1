"""``python -m fusionkit``."""

import sys

from fusionkit_start import main

sys.exit(main())
