"""``python -m fusionkit_training.gpu`` is ``training/gpu.py`` where fusionkit is installed."""

import sys

from .command import main

sys.exit(main(sys.argv[1:]))
