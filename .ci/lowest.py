"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = re.findall("^torch==.*", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)

for folder in (ROOT, ROOT / "benchmarks"):
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in project["dependencies"]:
        name, _, lowest = requirement.partition(">=")
        if lowest and name != "torch":  # an old one is a CUDA build of gigabytes
            print(f"{name}=={lowest}")
print(*KEPT)
