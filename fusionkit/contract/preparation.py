"""Preparations: what happens to the sources of a scene before they are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from .kind import Kind, members

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..imaging.picture import Picture

STAGES = ("geometry", "radiometry", "restoration")
"""The order in which preparations are made: what is aligned can be compared, then restored."""


@dataclass(frozen=True, eq=False)
class Sources:
    """The K registered sources of one scene, on their way to being fused.

    Attributes
    ----------
    pictures
        The sources as they were read. No preparation changes them, but one that moves planes
        moves what a source of fewer pixels was measured of, :attr:`.Picture.measured`, along.
    planes
        (K, C, H, W) float32, what is fused: C is 1, luma, or 3 under ``--colour rgb``. 0 to 1
        is the value range; a preparation may leave it a little.
    colour
        (H, W, 3) float32 in about [0, 1], by source from 0: where the result's colour comes
        from. Empty where channels are fused, or nothing is in colour.
    shown
        (K, H, W), where each source shows the scene; None where all do everywhere. Elsewhere
        planes are filled by what the others show.
    """

    pictures: tuple[Picture, ...]
    planes: NDArray[np.float32]
    colour: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    shown: NDArray[np.bool_] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What messages call the sources."""
        return tuple(picture.name for picture in self.pictures)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a preparation returns.

    Attributes
    ----------
    sources
        The scene, as many sources of the same size as before; made by
        :func:`dataclasses.replace`, since the arrays that came in are not to be changed.
    record
        What was decided, JSON-ready, for the record of the run.
    notes
        One line each of what the person should know; each begins with the name of a source, or
        with the flag.
    maps
        (H, W) float32 by name, to be written beside the result, ``OUT.NAME.tif``: what a person
        should see of what was done, where. Differences of sources are of 255.
    samples
        Other scenes that ``sources`` may be as well, two or more: each is fused, too, and the
        standard deviation of what comes of them is written beside the result.
    """

    sources: Sources
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    samples: Sequence[Sources] = ()


class PriorAtHand(Protocol):
    """The prior of the run, as preparations have it; what it does is counted in the run's NFE."""

    device: Any
    """The torch device that it computes on; images are to be there."""

    dtype: Any
    """The torch dtype of the run."""

    channels: int | None
    """How many the prior takes at once; None for any number."""

    def denoise(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Return clean estimates of noisy images, tiled and checked as in a run.

        Parameters
        ----------
        x
            (M, C, H, W) in about [-1, 1], each with white noise of its own level. Grey images
            may go to a prior of colour: they become three channels of noise that differs, whose
            mean they are.
        sigmas
            (M,) standard deviations > 0 in units of x: 25 of 255 is 25 / 127.5.
        """
        ...

    def noise(self, shape: Sequence[int], purpose: str, index: int = 0) -> Tensor:
        """Return standard normal noise, keyed by the run's seed, the purpose and the index."""
        ...


@runtime_checkable
class Preparation(Protocol):
    """Scene in, scene out, before fusion: alignment, levels, restoration.

    :class:`fusionkit.BasePreparation` has the defaults of what is optional.
    """

    stage: Literal["geometry", "radiometry", "restoration"]
    """When it is made, among others: see :data:`STAGES`."""

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the prepared scene; the same scene, options and seed give the same one."""
        ...


class BasePreparation:
    """A base for preparations, with the defaults of what is optional."""

    uses_seed = True
    """Whether it draws noise (:meth:`PriorAtHand.noise`), so that the seed changes the result."""

    def evaluations(self, sources: Sources) -> float:
        """Return about how many images it will have the prior denoise, for a progress bar."""
        return 0.0


PREPARATION = Kind(
    group="preparation",
    title="preparation",
    hook="fusionkit_preparations",
    summary="what happens to sources before they are fused",
    protocol=Preparation,
    optional=members(BasePreparation),
)
"""The kind of preparations. One is switched on by ``--NAME VALUE``, VALUE its first option."""
