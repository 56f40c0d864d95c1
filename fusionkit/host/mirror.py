"""Names of remote files as those of a private folder, where scenes are found as among others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..errors import UsageError
from ..imaging.files import private_folder
from .manifest import SUFFIXES
from .remote import (
    check_there,
    check_writable,
    exists,
    fetch,
    files_below,
    is_folder,
    is_url,
    local_name,
    put,
    remove,
    shown,
)
from .saving import record_path_of

_NO_HOST = "+"  # ends the folder of URLs such as memory:///a, whose slash messages keep


class Mirror:
    """What is at URLs, by name: files are empty here until they are fetched elsewhere.

    Only a manifest, the records beside images, and a file that is the only source are fetched.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._root: Path | None = None
        self._urls: dict[Path, str] = {}

    def sources(self, names: Sequence[str]) -> list[str]:
        """Return what a command line names, as it is here: URLs have their place, files theirs."""
        names = [local_name(name) for name in names]
        return [self._source(name, len(names) == 1) if is_url(name) else name for name in names]

    def output(self, name: str) -> str:
        """Return where results go, as it is here."""
        name = local_name(name)
        if not is_url(name):
            return name
        check_writable(name)
        return str(self._place(name))

    def cell(self, text: str) -> Path | None:
        """Return where a source is that a manifest names by a URL; None if it does not."""
        name = local_name(text)
        if is_url(name):
            return self._place(name)
        return Path(name) if name != text else None

    def url(self, path: str) -> str:
        """Return the URL of a path here, with what it says of who asks; others as they are."""
        here = Path(path)
        if self._root is None or not here.is_relative_to(self._root):
            return path
        for known in (here, *here.parents):
            if known in self._urls:
                rest = here.relative_to(known).as_posix()
                url = self._urls[known]
                return url if rest == "." else f"{url.rstrip('/')}/{rest}"
        return path

    def shown(self, text: str) -> str:
        """Return a message that names URLs instead of paths here."""
        if self._root is None:
            return text
        for scheme in {urlsplit(url).scheme for url in self._urls.values()}:
            text = text.replace(f"{self._root / scheme}/", f"{scheme}://")
            text = text.replace(f"{self._root / scheme}{_NO_HOST}/", f"{scheme}:///")
        return text

    def _source(self, url: str, alone: bool) -> str:
        place = self._place(url)
        if is_folder(url):
            names = files_below(url)
            for name in names:
                path = PurePosixPath(name)
                if ".." in path.parts or path.is_absolute():
                    continue
                if name.endswith(".json") and name.removesuffix(".json") in names:
                    fetch(f"{url.rstrip('/')}/{name}", place / path)  # a record tells a result
                else:
                    (place / path).parent.mkdir(parents=True, exist_ok=True)
                    (place / path).touch()
            place.mkdir(parents=True, exist_ok=True)
            return str(place)
        check_there(url)
        if alone:
            fetch(url, place)
            if place.suffix.lower() in SUFFIXES:  # whose rows may name what lies beside it
                self._urls[place.parent] = url.partition("?")[0].rpartition("/")[0]
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        return str(place)

    def _place(self, url: str) -> Path:
        """Return where a URL is here, known from now on."""
        parts = urlsplit(url)
        if parts.fragment:
            raise UsageError(
                f"{shown(url)}#{parts.fragment}: parts are of files on this machine: download it, "
                "and give the part of that"
            )
        path = PurePosixPath(shown(url).partition("://")[2].lstrip("/"))
        if ".." in path.parts or not path.name or not parts.path.strip("/"):
            raise UsageError(f"{shown(url)}: this URL names no file and no folder")
        if self._root is None:
            self._root = self._stack.enter_context(private_folder())
        host = parts.netloc.rpartition("@")[2]
        place = self._root / (parts.scheme if host else f"{parts.scheme}{_NO_HOST}") / path
        if self._urls.setdefault(place, url) != url:
            raise UsageError(
                f"{shown(url)}: two URLs differ in their queries, or in who asks, alone: give each "
                "file a name of its own"
            )
        return place


@contextmanager
def mirrored() -> Iterator[Mirror]:
    """Find scenes among remote files in a ``with`` block; its errors name their URLs."""
    with ExitStack() as stack:
        mirror = Mirror(stack)
        try:
            yield mirror
        except UsageError as error:
            said = mirror.shown(str(error))
            if said == str(error):
                raise
            raise UsageError(said) from None


class Stage:
    """A private folder for the files of one scene: sources come there, results leave from there.

    Parameters
    ----------
    folder
        Empty.
    sources, output
        Paths and URLs.
    """

    def __init__(self, folder: Path, sources: Sequence[str], output: str) -> None:
        self._sources = {
            str(folder / str(k) / _base(url)): url
            for k, url in enumerate(sources, 1)
            if is_url(url)
        }
        places = {url: place for place, url in self._sources.items()}
        self.sources = tuple(places.get(source, source) for source in sources)
        self._out = folder / "out"
        self._parent, _, base = output.rpartition("/") if is_url(output) else ("", "", output)
        self.output = str(self._out / base) if self._parent else output

    def fetch_sources(self) -> None:
        """Fetch the sources."""
        for place, url in self._sources.items():
            fetch(url, Path(place))

    def fetch_results(self, outputs: Sequence[str]) -> None:
        """Fetch what there is of results of these names here, and of their records."""
        for output in outputs if self._parent else ():
            for place in (output, record_path_of(output)):
                if exists(url := self._url(place)):
                    fetch(url, Path(place))

    def put(self, output: str) -> None:
        """Put a result where it belongs, its maps first, and last its record.

        Until that is there, the scene counts as unfinished.
        """
        if not self._parent:
            return
        image, record = Path(output), Path(record_path_of(output))
        remove(self._url(record))
        for place in sorted(self._out.iterdir(), key=lambda path: (path == record, path == image)):
            put(place, self._url(place))

    def shown(self, text: str) -> str:
        """Return a message, or a line of a record, that names URLs instead of paths here."""
        for place, url in self._sources.items():
            text = text.replace(place, shown(url))
        return text.replace(f"{self._out}/", f"{shown(self._parent)}/") if self._parent else text

    def told(self, value: Any) -> Any:
        """Return what a record holds, with URLs instead of paths here."""
        if isinstance(value, str):
            return self.shown(value)
        if isinstance(value, (list, tuple)):
            return [self.told(each) for each in value]
        if isinstance(value, dict):
            return {key: self.told(each) for key, each in value.items()}
        return value

    def _url(self, place: str | Path) -> str:
        return f"{self._parent}/{Path(place).name}"


def _base(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name or "source"
