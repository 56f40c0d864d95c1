"""Samplers: how a run goes from its levels to an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .kind import Kind, members

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run


@runtime_checkable
class Sampler(Protocol):
    """How a run goes from its levels to an image. Immutable and reusable.

    What it may have besides is in :class:`BaseSampler`.
    """

    trajectory: bool
    """Whether it makes one. Without, components that read ``step.x`` and so on are refused."""

    def sample(self, run: Run, guide: Guide) -> Iterator[Any]:
        """Yield what ``guide`` returns for every step of the run; of the last, the result.

        ``guide.start()`` is the image at level 0, (B, C, H, W). ``guide(i, x, x0)`` asks the
        components, and returns a record with the ``corrected`` clean estimate.
        ``guide(i, x, x0, provisional=True)`` does so for a look ahead, which is not yielded.
        """
        ...


class Guide(Protocol):
    """What a sampler is guided by."""

    def start(self) -> Tensor:
        """Return the image at level 0, (B, C, H, W): noise, or the noised initial fusion."""
        ...

    def __call__(
        self,
        index: int,
        x: Tensor | None = None,
        x0: Tensor | None = None,
        provisional: bool = False,
    ) -> Any:
        """Weigh the sources at a level, and correct the clean estimate towards them."""
        ...


class BaseSampler:
    """What a sampler has unless it says otherwise; it need not inherit this.

    Attributes
    ----------
    needs_gradient
        Whether it asks for ``run.gradient``, so that the prior must have ``vjp``.
    """

    needs_gradient: bool = False


SAMPLER = Kind(
    group="sampler",
    title="sampler",
    hook="fusionkit_samplers",
    summary="how a run goes from its levels to an image",
    protocol=Sampler,
    optional=members(BaseSampler),
    in_recipes=True,
)
"""The kind of samplers: how a run goes from its levels to an image."""
