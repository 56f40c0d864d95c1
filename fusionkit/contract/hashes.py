"""Hashes of files and folders: what a record says of what it was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path


def hash_of_folder(folder: Path) -> str:
    """Return a hash of the names and contents of all files in a folder, but for compiled Python."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hash_of_file(file).encode())
    return digest.hexdigest()


def hash_of_files(files: Sequence[str | os.PathLike[str]]) -> str:
    """Return the SHA-256 of a file; of several, that of theirs."""
    digests = [hash_of_file(file) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def hash_of_file(file: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
