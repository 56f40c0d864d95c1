"""What a command line asks to be fused, and where it goes: known before anything is read."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..contract.paths import split_part
from ..errors import UsageError
from ..host.batch import Scenes, Stacking, check_name, find_scenes, holds_scenes
from ..host.keeping import Kept
from ..host.manifest import OUTPUT, Row
from ..host.saving import (
    TRACE_FILES,
    check_folder,
    check_place,
    check_result,
    finished,
    record_path_of,
)
from ..host.saving_folder import check_free_folder
from ..host.weight_maps import check_maps, map_names
from ..imaging import FORMATS, is_written, written
from ..imaging.stacks import images_in
from ..imaging.volumes import is_series
from .stacking import Shard

VOLUME = ".nii.gz"
"""The extension of volumes in a folder of results, unless another is said."""


@dataclass(frozen=True)
class Job:
    """One scene to fuse.

    Attributes
    ----------
    name
        What messages call it; empty where it is the only one.
    sources
        Two paths or more, or that of a stack.
    output
        Where the image goes; without the extension, if ``extensions`` are given.
    extensions
        Those that it may get, by what is in it; none if ``output`` has its own.
    trace, maps
        The folders of its trace and of its maps, if there are to be any.
    row, words
        What a manifest says of it, if there is one, and adds to the command line.
    """

    name: str
    sources: tuple[str, ...]
    output: str
    extensions: tuple[str, ...] = ()
    trace: str | None = None
    maps: str | None = None
    row: Row | None = None
    words: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Every name that the image may get."""
        return tuple(self.output + extension for extension in self.extensions) or (self.output,)

    @property
    def size(self) -> int:
        """Bytes of the sources, which tell how much work they are compared with others."""
        files = (split_part(path)[0] for path in self.sources)
        return 1 + sum(os.stat(file).st_size for file in files if os.path.exists(file))

    @property
    def count(self) -> int:
        """How many sources there are; pages, of a file that is a stack."""
        return len(self.sources) if len(self.sources) > 1 else images_in(Path(self.sources[0]))

    def earlier(self) -> tuple[str, dict[str, object]] | None:
        """Return the path and the record of a finished result of this name, if there is one."""
        for output in self.outputs:
            record = finished(output)
            if record is not None:
                return output, record
        return None


@dataclass(frozen=True)
class Order:
    """Everything that is to be fused.

    Attributes
    ----------
    jobs, problems, notes
        The scenes; what is none, by name, and why; what was left out.
    kept
        The sources, which nothing may replace.
    """

    jobs: tuple[Job, ...]
    problems: dict[str, str]
    notes: tuple[str, ...]
    kept: Kept

    def share(self, shard: Shard) -> Order:
        """Return what of it is in a shard; all that is fused elsewhere is kept, too."""
        if self.jobs and not self.jobs[0].name:
            raise UsageError("--shard is for several scenes, and there is one")
        return replace(
            self,
            jobs=tuple(job for job in self.jobs if shard.holds(job.name)),
            problems={name: why for name, why in self.problems.items() if shard.holds(name)},
        )


def order_of(
    sources: Sequence[str],
    output: str | None,
    how: Stacking,
    *,
    form: str | None = None,
    trace: str | None = None,
    maps: str | None = None,
    overwrite: bool = False,
    options: Collection[str] = (),
    elsewhere: Callable[[str], Path | None] = lambda cell: None,
    flags: Collection[str] = (),
    slices: bool = False,
) -> Order:
    """Find what there is to fuse, and check where it goes.

    Parameters
    ----------
    sources
        Files of one scene, or what :func:`fusionkit.host.batch.find_scenes` takes.
    output
        A file, or a folder where there are several scenes.
    how
        How images are grouped, if that is said.
    form
        The extension of images in a folder, without its dot; by content if None.
    trace, maps
        A folder for the trace, or for the folders of traces; and so for maps.
    overwrite
        Whether what is there may be replaced.
    options
        What columns of a manifest may be called that are options.
    elsewhere
        Returns where a source is that a manifest names by a URL; None for others.
    flags
        What columns of a manifest may not be called: flags that are not of one scene.
    slices
        Whether volumes are fused, slice by slice.

    Raises
    ------
    UsageError
        There is nothing to fuse, nowhere to put it, or a source would be replaced.
    """
    many = how.said or (not _of_series(sources, slices) and holds_scenes(sources))
    if output is None:
        raise UsageError(
            "say where the fused images go: -o OUT, for example -o fused"
            if many
            else f"say where the fused image goes: -o OUT, for example -o {_free_name(sources)}"
        )
    scenes = (
        find_scenes(sources, how, options, elsewhere, flags)
        if many
        else Scenes({"": _paths(sources)}, {})
    )
    kept = Kept([*scenes.sources, *sources])
    names_image = _names_image(output) and not os.path.isdir(output)
    if slices and not many and not names_image:  # a folder of slices
        if suffix := Path(output).suffix:
            raise UsageError(
                f"{output}: {suffix} is no format of volumes that can be written: name a folder of "
                "slices, without an extension, or a .nii.gz file"
            )
        (paths,) = scenes.found.values()
        job = Job("", tuple(map(str, paths)), output.rstrip("/"), (f".{form or 'dcm'}",))
        check_kept(job, job.output, kept, len(paths))
        check_free_folder(job.output)
        return Order((job,), {}, scenes.notes, kept)
    if not many or (names_image and len(scenes.found) == 1 and not scenes.problems):
        if form is not None:
            raise UsageError(f"--format is for folders: {output} says its format by its extension")
        (paths,) = scenes.found.values()
        row = next(iter(scenes.rows.values()), None)
        job = Job("", tuple(map(str, paths)), output, trace=trace, maps=maps, row=row)
        _check_job(job, kept, overwrite)
        return Order((job,), {}, scenes.notes, kept)
    if names_image:
        raise UsageError(
            f"{output} names one image, and there are {len(scenes.found) + len(scenes.problems)} "
            f"scenes ({_listed(scenes)}): give a folder for them, for example -o fused"
        )
    check_apart(output, sources, scenes.sources)
    formats = (VOLUME,) if slices else tuple(FORMATS)
    extensions = formats if form is None else (f".{form}",)
    jobs = []
    places: dict[str, str] = {}
    for name, paths in scenes.found.items():
        row = scenes.rows.get(name)
        traced, mapped = (
            None if folder is None else str(Path(folder) / name) for folder in (trace, maps)
        )
        place = scenes.place_of(name)
        if row is not None:
            _check_row(row, place, places.setdefault(place, row.where))
        exact = row is not None and row.output and _names_image(place)
        taken = () if exact else extensions
        whole = str(Path(output) / place)
        jobs.append(Job(name, tuple(map(str, paths)), whole, taken, traced, mapped, row))
    check_place(jobs[0].outputs[0])
    return Order(tuple(jobs), scenes.problems, scenes.notes, kept)


def check_kept(job: Job, output: str, kept: Kept, sources: int) -> None:
    """Raise UsageError if something that a job writes would replace a source, of so many."""
    kept.refuse(output, record_path_of(output))
    if job.trace is not None:
        kept.refuse(*(Path(job.trace) / name for name in TRACE_FILES))
    if job.maps is not None:
        kept.refuse(*(Path(job.maps) / name for name in map_names(sources)))


def check_folders(job: Job, output: str, overwrite: tuple[bool, bool], sources: int) -> None:
    """Raise UsageError unless trace and maps of a job can be written, of so many sources.

    ``overwrite`` says of each whether what is there may be replaced.
    """
    beside = (output, record_path_of(output))
    if job.trace is not None:
        check_folder(job.trace, overwrite=overwrite[0], beside=beside)
    if job.maps is not None:
        check_maps(job.maps, sources, overwrite[1], beside)


def _check_row(row: Row, place: str, first: str) -> None:
    """Raise UsageError if the result of a row goes out of the folder, or where another's goes."""
    where = f"{row.where}, column {OUTPUT}"
    try:
        check_name(place)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    if first != row.where:
        raise UsageError(f"{where}: {place} is where the result of {first} goes")
    if row.output and _names_image(place) and not is_written(place):
        raise UsageError(f"{where}: {place}: results are {', '.join(written())}")


def check_apart(output: str, given: Iterable[str], sources: Iterable[Path]) -> None:
    """Raise UsageError if a folder of results is one of the sources."""
    if not os.path.isdir(output):
        return
    folders = {source.parent for source in sources}
    folders |= {Path(source) for source in given if os.path.isdir(source)}
    for folder in sorted(folders):
        if os.path.isdir(folder) and os.path.samefile(folder, output):
            raise UsageError(
                f"{output}: this folder holds sources, and results go to another: "
                f"for example -o {Path(output) / 'fused'}"
            )


def _check_job(job: Job, kept: Kept, overwrite: bool) -> None:
    count = len(job.sources)
    check_kept(job, job.output, kept, count)
    check_result(job.output, overwrite=overwrite)
    check_folders(job, job.output, (overwrite, overwrite), count)


def _of_series(sources: Sequence[str], slices: bool) -> bool:
    """Whether sources are of one scene though some are folders: those hold the slices of a volume.

    Folders alone are scenes paired by name, unless volumes are asked for.

    Raises
    ------
    UsageError
        Volumes are asked for, and one of several is a folder that is none.
    """
    folders = [source for source in sources if os.path.isdir(split_part(source)[0])]
    if not folders or not (slices or len(folders) < len(sources)):
        return False
    none = [folder for folder in folders if not is_series(folder)]
    if none and slices and len(none) < len(sources):
        raise UsageError(
            f"{none[0]}: this folder holds no series of slices, as DICOM has them: give a volume, "
            "as the others are"
        )
    return not none


def _paths(sources: Sequence[str]) -> tuple[Path, ...]:
    return tuple(map(Path, sources))


def _names_image(output: str) -> bool:
    """Whether a name has an image's extension, be it of a format that is not written."""
    kind = mimetypes.guess_type(output)[0] or ""
    return kind.startswith("image/") or is_written(output)


def _free_name(sources: Sequence[str]) -> str:
    """Return a name for the image fused of files that nothing has yet."""
    lossless = {Path(split_part(source)[0]).suffix.lower() for source in sources} & {
        ".tif",
        ".tiff",
    }
    extension = ".tif" if lossless else ".png"
    names = (f"fused{'' if n == 1 else f'-{n}'}{extension}" for n in range(1, 10_000))
    return next(name for name in names if not os.path.lexists(name))


def _listed(scenes: Scenes) -> str:
    names = [*scenes.found, *scenes.problems]
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
