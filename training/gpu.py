#!/usr/bin/env python3
"""What a lent GPU is for, in one command, from a checkout where nothing is installed.

It takes torch, NumPy and safetensors, and pluggy, which can be carried along:

    pip install --target build/site --no-deps pluggy

See docs/training.md, or --help.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CARRIED = ROOT / "build" / "site"


def main() -> int:
    """Find the packages of the checkout, and run the command."""
    for folder in ("benchmarks", "training", "plugins", ""):
        sys.path.insert(0, str(ROOT / folder))
    if importlib.util.find_spec("pluggy") is None:
        if not (CARRIED / "pluggy").is_dir():
            print(
                "pluggy is missing: where there is a network, and in this checkout, "
                "pip install --target build/site --no-deps pluggy, and carry build/site along",
                file=sys.stderr,
            )
            return 2
        sys.path.append(str(CARRIED))
    from fusionkit_training.gpu.command import main as command

    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
