"""Results on disk, one JSON file for every method and scene, found again by what made them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusionkit.errors import UsageError
from fusionkit.imaging import write_picture, write_text

from ..photographs import Pixels, read_pixels


class Store:
    """``FOLDER/results/KEY.json``, and the images in ``FOLDER/images/``.

    Raises
    ------
    UsageError
        The folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / "results").mkdir(parents=True, exist_ok=True)
            (folder / "images").mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: this folder cannot be made: {error.strerror}") from None

    def read(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under a key; None if there is nothing, or nothing legible."""
        try:
            kept = json.loads(self._file(key).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return kept if isinstance(kept, dict) else None

    def write(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result, whole or not at all."""
        write_text(self._file(key), json.dumps(result, indent=1) + "\n", overwrite=True)

    def read_image(self, name: str | None) -> Pixels | None:
        """Return an image that was kept, or None."""
        path = self.folder / (name or "-")
        return read_pixels(path) if name and path.is_file() else None

    def write_image(self, pixels: Pixels, *names: str) -> str:
        """Keep an image under ``images/NAME/NAME.png``; return its path within the folder."""
        safe = [re.sub(r"[^\w.+-]+", "-", name).strip("-") for name in names]
        path = self.folder.joinpath("images", *safe[:-1], f"{safe[-1]}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, pixels, overwrite=True)
        return str(path.relative_to(self.folder))

    def _file(self, key: str) -> Path:
        return self.folder / "results" / f"{key}.json"


def key_of(*records: Mapping[str, Any]) -> str:
    """Return a short hash of JSON-ready records; the order of their keys does not matter."""
    text = json.dumps(records, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
