"""``fusionkit run``: fuse the files of one scene, or many scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..contract.paths import refuse_url
from ..errors import UsageError
from ..host.mirror import mirrored
from ..host.patterns import expanded
from ..host.remote import is_url, local_name, shown
from ..imaging import FORMATS
from ..imaging.volumes import may_be_volume
from ..recipes.finding import GIVEN
from .jobs import Job, Order, order_of
from .remote_jobs import RemoteFuser, at_urls
from .rows import options_of, with_words
from .run_flags import own_flags, parsed
from .running import Runner
from .selection import Selection
from .stacking import stacking


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    selection, given = parsed(arguments)
    if not given.sources:
        raise UsageError("say what to fuse: two images or more, folders, or a manifest")
    fuser = RemoteFuser(arguments, selection, given)
    for folder in (given.trace, given.maps):
        refuse_url(folder or "")
    with mirrored() as mirror:
        given.output = given.output and local_name(given.output)
        sources = mirror.sources(given.sources)
        if given.slices is not None:
            _refuse_series(given.sources, sources)
        sources = expanded(sources)
        order = order_of(
            sources,
            given.output and mirror.output(given.output),
            stacking(given),
            form=given.format,
            trace=given.trace,
            maps=given.maps,
            overwrite=given.overwrite,
            options=options_of(fuser.registry),
            elsewhere=mirror.cell,
            flags={flag.removeprefix("--") for flag in own_flags()},
            slices=given.slices is not None,
        )
        _check_quality(selection, order)
        order = order if given.shard is None else order.share(given.shard)
        order = at_urls(with_words(order, fuser), mirror)
    return Runner(fuser, given).run(order)


def _refuse_series(names: Sequence[str], places: Sequence[str]) -> None:
    """Refuse a folder at a URL that holds no volumes, and hence the slices of one, if anything."""
    for name, place in zip(map(local_name, names), map(Path, places), strict=True):
        if is_url(name) and place.is_dir() and not any(map(may_be_volume, place.rglob("*"))):
            raise UsageError(
                f"{shown(name)}: at a URL, volumes are files (NIfTI, TIFF), or folders of these: "
                "download a series of slices first, and give that folder"
            )


def _jpeg(job: Job) -> bool:
    """Whether a JPEG is written."""
    extensions = job.extensions or (Path(job.output).suffix.lower(),)
    return all(FORMATS[each].name == "JPEG" for each in extensions if each in FORMATS)


def _check_quality(selection: Selection, order: Order) -> None:
    """Refuse a quality that was asked for by hand where no JPEG is written."""
    if selection.merged.origins.get("quality") == GIVEN and not any(map(_jpeg, order.jobs)):
        remedy = "--format jpg" if order.jobs[0].extensions else "a name that ends in .jpg"
        raise UsageError(f"--quality is that of a JPEG: give {remedy}, or leave it out")
