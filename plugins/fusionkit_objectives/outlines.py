"""What lies beside an outline in a focus stack, where no source is sharp.

Beside the outline of a nearer layer its blurred light spreads over what lies behind it, in the
source that is focused there; in the other source, what lies behind is blurred itself. With a the
source that is sharp on the nearer layer, S where that layer is, b the source that is sharp behind,
and h the blur of the nearer layer in b, all in linear light,

    b = h * (S a) + (1 - h * S) r,    so    r = (b - h * (S a)) / (1 - h * S)

is what lies behind, sharp. For a pair of sources, the blurs are those that fit best where one
source alone is sharp, of Gaussians and discs. S is moved along its own normal by what makes both
sources, put together again from a and r, most like what they are: by whole pixels in images of
half the size, with either source as the nearer layer, then by less with the one that fits better.
r is taken where that leaves little of what the two differ by. Two sources at a time, since few
outlines have more than two layers at hand.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from fusionkit import box_mean, image_mean
from fusionkit.ops import in_patches, patches, raised

from .blurs import Blur, Blurring, blur_told

LEFT = 0.05
"""No more may be left unexplained, as a share of the squared difference of two sources."""

SEEN_THROUGH = 0.35
"""What is covered by more than the rest of this is not divided by, but filled from beside it."""

COARSE = -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0
"""By how many pixels an outline is moved, at half the size."""

FINE = tuple(tuple(step * n for n in range(-2, 3)) for step in (0.5, 0.25, 0.125))
"""Then at full size, three times."""

WIDE = 3.0
"""Outlines are moved by less where the blur has a deviation of fewer pixels."""

AROUND_IT = 5
"""Side in pixels of the window whose darkest and brightest values bound what is restored."""

AROUND = 2.0
"""Standard deviation in pixels of the blur that tells how far from its outline a pixel is."""

TINY = 1e-6

REACH, IMAGES = 64, 8
"""Pixels around a patch of a large image that are looked at, and by how many images of them
memory is reckoned."""


def restored_outlines(sources: Tensor, weights: Tensor, fused: Tensor) -> Tensor:
    """Return a fusion of a focus stack with what lies beside outlines restored.

    Parameters
    ----------
    sources
        (K, B, C, H, W) in [-1, 1], coded by sRGB's transfer curve.
    weights
        (K, B, 1, H, W): the source with the largest is taken for the one in focus.
    fused
        (B, C, H, W).

    Returns
    -------
    Tensor
        (B, C, H, W).
    """
    # Image by image: Fourier transforms of several at once are rounded otherwise on some CPUs.
    each = (torch.split(x, 1, dim) for x, dim in ((sources, 1), (weights, 1), (fused, 0)))
    return torch.cat([_restored(*image) for image in zip(*each, strict=True)])


def _restored(sources: Tensor, weights: Tensor, fused: Tensor) -> Tensor:
    """Return :func:`restored_outlines` of one image."""
    light = _linear(sources)
    chosen = weights.argmax(0)
    result, least = fused, torch.full_like(weights[0], LEFT)
    for i, j in combinations(range(len(sources)), 2):
        own_i, own_j = (chosen == i).to(sources), (chosen == j).to(sources)
        meeting = _meeting(own_i, own_j)
        if _nowhere(meeting):
            continue
        found, left = _restored_pair(light[i], light[j], own_i, own_j, meeting)
        better = left < least
        result = torch.where(better, _coded(_as_around(found, light[i], light[j])), result)
        least = torch.where(better, left, least)
    return result


def _restored_pair(
    a: Tensor, b: Tensor, own_a: Tensor, own_b: Tensor, meeting: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a fusion of two sources, restored, and how much that leaves unexplained.

    ``own_a`` and ``own_b`` (1, 1, H, W) are 1 where each is in focus; of :func:`_meeting`.
    """
    # Pixels near the other's, where blurs are told.
    near = box_mean(box_mean(own_a, 41), 41) * box_mean(box_mean(own_b, 41), 41) > 1e-3
    of_a, of_b = blur_told(a, b, own_a * near), blur_told(b, a, own_b * near)
    within = torch.minimum(of_a.deviation, of_b.deviation).div(WIDE).clamp(max=1)
    both = own_a + own_b
    orders, costs = [], []
    for order in ((a, b, own_a, *of_a, *of_b), (b, a, own_b, *of_b, *of_a)):
        near, far, own, *blurs = order
        half = _halved(near), _halved(far), _halved(both), _halved(meeting)
        away = _distance(own)
        halves = _Layers(*half, Blur(blurs[0] / 2, blurs[1]), Blur(blurs[2] / 2, blurs[3]))
        move, cost = halves.best_move(_halved(away) / 2, [within * move / 2 for move in COARSE])
        grown = interpolate(2 * move, scale_factor=2, mode="bilinear")
        away = away + grown[..., : away.shape[-2], : away.shape[-1]]
        orders.append((near, far, away, *blurs))
        costs.append(image_mean(cost, (0, 1, 2, 3)))
    # Which of two planes of focus is nearer is the same all over the image.
    first = costs[0] <= costs[1]
    near, far, away, *blurs = (torch.where(first, x, y) for x, y in zip(*orders, strict=True))
    layers = _Layers(near, far, both, meeting, Blur(*blurs[:2]), Blur(*blurs[2:]))
    return _finely(layers, away, within)


def _finely(layers: _Layers, away: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Return layers restored, their outline moved where it fits best; large ones in patches."""
    height, width = away.shape[-2:]
    if not in_patches(height, width, IMAGES):
        return layers.moved_and_restored(away, within)
    found, left = layers.near.clone(), torch.full_like(away, torch.inf)
    for patch in patches(height, width, IMAGES, REACH):
        part = layers.part(patch.seen)
        if _nowhere(part.meeting):
            continue
        parts = part.moved_and_restored(away[..., *patch.seen], within)
        for whole, seen in zip((found, left), parts, strict=True):
            whole[..., *patch.place] = seen[..., *patch.inside]
    return found, left


class _Layers:
    """A nearer layer that is sharp in one source, and what lies behind it, sharp in another.

    Parameters
    ----------
    near, far
        The light of the two sources, (1, C, H, W).
    both
        (1, 1, H, W), 1 where either is in focus.
    meeting
        (1, 1, H, W), 1 near their common outline.
    of_near, of_far
        The blur of each layer in the other's source.
    """

    def __init__(
        self,
        near: Tensor,
        far: Tensor,
        both: Tensor,
        meeting: Tensor,
        of_near: Blur,
        of_far: Blur,
    ) -> None:
        self.near, self.far, self.both, self.meeting = near, far, both, meeting
        self.of_near, self.of_far = of_near, of_far
        self.told = torch.isfinite(of_near.deviation + of_far.deviation)
        self.blurred_near, self.blurred_far = (Blurring(x, near) for x in (of_near, of_far))

    def part(self, place: tuple[slice, slice]) -> _Layers:
        """Return a part of them."""
        images = self.near, self.far, self.both, self.meeting
        near, far, both, meeting = (image[..., *place] for image in images)
        return _Layers(near, far, both, meeting, self.of_near, self.of_far)

    def best_move(self, away: Tensor, moves: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return how far the outline is to be moved outwards, and what that leaves around it.

        ``away`` (1, 1, H, W) is how far inside the nearer layer a pixel is.
        """
        costs = torch.stack([self._cost(away + move) for move in moves])
        least, best = costs.min(0, keepdim=True)
        move = torch.stack(moves).expand_as(costs).gather(0, best)[0]
        # Places where it matters decide for those around them where it does not.
        sure = costs[len(moves) // 2] - least[0] + 1e-12
        return _around(move * sure) / _around(sure), least[0]

    def moved_and_restored(self, away: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        """Return :meth:`restored`, the outline moved by FINE parts of ``within`` first."""
        for moves in FINE:
            away = away + self.best_move(away, [within * move for move in moves])[0]
        return self.restored(away)

    def restored(self, away: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fusion, and what it leaves unexplained, infinite where it is not to be."""
        cover = self._cover(away)
        image, error = self._put_together(cover)
        scale = self._scale(image)
        apart = (self.near - self.far).square().mean(1, keepdim=True)
        left = (_around(error * scale) + TINY / 10) / (_around(apart * scale) + TINY)
        blur = Blur(self.of_near.deviation.clamp(min=1.5), self.of_near.disc)
        spread = Blurring(blur, cover)(cover)
        beside = (spread > 0.02) & (spread < 0.98) & (self.meeting > 0) & self.told
        return image, torch.where(beside, left, torch.inf)

    def _cost(self, away: Tensor) -> Tensor:
        image, error = self._put_together(self._cover(away))
        return _around(error * self._scale(image))

    def _cover(self, away: Tensor) -> Tensor:
        """Return where the nearer layer is, its edge a pixel wide."""
        return (away + 0.5).clamp(0, 1) * self.both

    def _scale(self, image: Tensor) -> Tensor:
        return self.both / (image.mean(1, keepdim=True) + 0.02)

    def _put_together(self, cover: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fusion, and how far the sources made of it are from what they are, squared."""
        a, b = self.near, self.far
        spread = self.blurred_near(torch.cat([cover, cover * a], 1))
        through = 1 - spread[:, :1]
        clear = ((b - spread[:, 1:]) / through.clamp(min=SEEN_THROUGH)).clamp(0, 1)
        share = (self.both - cover) * (through / SEEN_THROUGH).clamp(0, 1)
        shown = torch.cat([share, share * clear], 1)
        close, wide = (box_mean(box_mean(shown, window), window) for window in (5, 21))
        beside = torch.where(
            close[:, :1] > 1e-3,
            close[:, 1:] / close[:, :1].clamp(min=1e-4),
            wide[:, 1:] / wide[:, :1].clamp(min=TINY),
        )
        behind = share * clear + (1 - share) * beside
        first = cover * a + (1 - cover) * self.blurred_far(behind)
        second = spread[:, 1:] + through * behind
        error = ((first - a).square() + (second - b).square()).mean(1, keepdim=True)
        return cover * a + (1 - cover) * behind, error


def _meeting(own_a: Tensor, own_b: Tensor) -> Tensor:
    """Return 1 within 16 pixels of where two regions touch, away from any third, else 0."""
    alone = box_mean(box_mean(own_a + own_b, 7), 7) > 0.995
    touching = alone & (box_mean(own_a, 3) * box_mean(own_b, 3) > 0)
    return (alone & (box_mean(touching.to(own_a), 33) > 1e-4)).to(own_a)


def _nowhere(region: Tensor) -> bool:
    """Whether a region is empty, if it takes no reading from a device to know."""
    return region.device.type == "cpu" and not bool(region.any())


def _as_around(found: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Bound what was found by the darkest and the brightest that either source shows around it.

    Where the model is not quite right, dividing by what is seen through enlarges the difference.
    """
    brightest = max_pool2d(torch.maximum(a, b), AROUND_IT, 1, AROUND_IT // 2)
    darkest = -max_pool2d(-torch.minimum(a, b), AROUND_IT, 1, AROUND_IT // 2)
    return torch.minimum(torch.maximum(found, darkest), brightest)


def _distance(own: Tensor) -> Tensor:
    """Return how far inside a region a pixel is, in pixels, up to about four of either sign."""
    deviation = own.new_full((1, 1, 1, 1), AROUND)
    share = Blurring(Blur(deviation, torch.zeros_like(deviation)), own)(own)
    distance: Tensor = AROUND * torch.special.ndtri(share.clamp(0.02, 0.98))
    return distance


def _halved(images: Tensor) -> Tensor:
    return avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)


def _around(maps: Tensor) -> Tensor:
    return box_mean(box_mean(maps, 13), 13)


def _linear(coded: Tensor) -> Tensor:
    """Return light in [0, 1] of values in [-1, 1] (IEC 61966-2-1)."""
    value = (coded / 2 + 0.5).clamp(0, 1)
    return torch.where(value <= 0.04045, value / 12.92, raised((value + 0.055) / 1.055, 2.4))


def _coded(light: Tensor) -> Tensor:
    light = light.clamp(0, 1)
    value = torch.where(
        light <= 0.0031308, 12.92 * light, 1.055 * raised(light.clamp(min=TINY), 1 / 2.4) - 0.055
    )
    return 2 * value - 1
