"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = re.findall("^torch==.*", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)

project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
for requirement in project["dependencies"] + project["optional-dependencies"]["bench"]:
    name, lowest = requirement.split(">=")
    if name != "torch":  # an old one is a CUDA build of gigabytes
        print(f"{name}=={lowest}")
print(*KEPT)
