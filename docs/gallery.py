"""The pictures of gallery.md: sources, trivial fusions, fusionkit and the truth side by side.

    python docs/gallery.py DIR                     writes DIR/gallery-*.jpg, all of them
    python docs/gallery.py DIR --only focus,moved  some of them

Everything is made from photographs that scikit-image ships and that may be passed on: coffee
(Rachel Michetti) and chelsea (Stefan van der Walt), CC0; astronaut (NASA) and rocket (SpaceX),
public domain; and from the Shepp-Logan head phantom, which is a formula.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import demo
import numpy as np
import torch
from fusionkit_benchmarks.photographs import grey, luma_of_pixels
from fusionkit_benchmarks.truth import Noise, TruthScene, noisy_scene, truth_scene
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, gaussian_filter, uniform_filter
from skimage import data, draw

import fusionkit
from fusionkit.evaluation.baselines import BASELINES, eight_bit

Pixels = NDArray[np.uint8]

SIDE = 384  # of the longer side that photographs are shrunk to, in pixels
COLUMN = 250  # width of an image in a sheet
GAP, BAR = 4, 20
LARGEST = 150_000  # bytes of a picture


@dataclass(frozen=True)
class Example:
    """What a sheet shows: 8-bit sources with captions, the recipe, the truth if it is known.

    ``details`` are the upper left corners (row, column) of what is shown enlarged, ``noise``
    is the setting of a second fusion, if there is any.
    """

    task: str
    sources: dict[str, Pixels]
    truth: Pixels | None
    details: list[tuple[int, int]]
    noise: tuple[str, ...] = ()


# The examples, by name: each a function of the longer side in pixels.


def focus(side: int) -> Example:
    """Show two depths, each sharp in one image."""
    scene = truth_scene("focus", photograph("coffee", side), 2, photograph_name="coffee")
    return of_truth("multi-focus", scene, ["near focus", "far focus"])


def exposure(side: int) -> Example:
    """Show an evenly lit scene at three exposures."""
    scene = truth_scene("exposure", photograph("rocket", side), 3, photograph_name="rocket")
    return of_truth("multi-exposure", scene, ["-1 EV", "+1 EV", "+3 EV"])


def lighting(side: int) -> Example:
    """Show light and shade, at two exposures."""
    scene = truth_scene("lighting", photograph("chelsea", side), 2, photograph_name="chelsea")
    return of_truth("multi-exposure", scene, ["for the light", "for the shade"])


def noise(side: int) -> Example:
    """Show a focus pair with Gaussian noise of sigma 15 of 255 in both images."""
    scene = truth_scene("focus", grey(photograph("astronaut", side)), 2, photograph_name="noise")
    example = of_truth("multi-focus", noisy_scene(scene, Noise(15), 0), ["near focus", "far focus"])
    return replace(example, noise=("auto",))


def moved(side: int) -> Example:
    """Show a failure: the camera moved sideways between two images, by 1/96 of the side."""
    scene = truth_scene("focus", photograph("coffee", side), 2, photograph_name="coffee")
    example = of_truth("multi-focus", scene, ["near focus", "far focus, moved"])
    near, far = example.sources.items()
    shifted = np.roll(far[1], max(1, side // 96), axis=1)
    return Example(example.task, dict([near, (far[0], shifted)]), example.truth, example.details)


def infrared(side: int) -> Example:
    """Show someone in the dark who is warm. Computed, not measured."""
    light = photograph("astronaut", side) / 255.0
    height, width = light.shape[:2]
    corners = np.array([pair.split(",") for pair in demo.OUTLINE.split()], dtype=float)
    person = draw.polygon2mask((height, width), corners[:, ::-1] * side / 512).astype(float)
    person = gaussian_filter(person, side / 256)[..., np.newaxis]
    visible = light * (1 - 0.85 * person)
    brightness = gaussian_filter(luma_of_pixels(light), side / 256)
    warm = 0.6 + 0.35 * brightness
    cold = 0.3 - 0.2 * brightness
    thermal = warm * person[..., 0] + cold * (1 - person[..., 0])
    sources = {"infrared (computed)": stored(thermal), "visible (computed)": stored(visible)}
    size = detail_of(side)
    places = [(round(0.1 * side), round(0.28 * side)), (round(0.3 * side), round(0.7 * side))]
    return Example("infrared-visible", sources, None, [fitting(p, size, light) for p in places])


def medical(side: int) -> Example:
    """Show the Shepp-Logan phantom: bone in one image, soft tissue in the other."""
    phantom = np.asarray(
        Image.fromarray(data.shepp_logan_phantom().astype(np.float32)).resize((side, side))
    ).astype(np.float64)
    bone = phantom > 0.8
    # Pixels that are part bone, part air would be taken for tissue.
    tissue = np.where(binary_dilation(phantom > 0.45, iterations=2), 0, phantom)
    grain = gaussian_filter(np.random.default_rng(0).standard_normal(phantom.shape), side / 256)
    texture = np.where(tissue > 0.05, 0.06 * grain / grain.std(), 0)
    ct = gaussian_filter(np.where(bone, 0.95, 0.6 * tissue), side / 400)
    mri = np.where(bone, 0.06, 2.1 * tissue + texture)
    size = detail_of(side)
    places = [(round(0.36 * side), round(0.28 * side)), (round(0.03 * side), round(0.42 * side))]
    details = [fitting(place, size, phantom) for place in places]
    sources = {"like CT (computed)": stored(ct), "like MRI (computed)": stored(mri)}
    return Example("medical", sources, None, details)


EXAMPLES: dict[str, Callable[[int], Example]] = {
    each.__name__: each for each in (focus, exposure, lighting, noise, infrared, medical, moved)
}


def photograph(name: str, side: int) -> Pixels:
    """Return a photograph of scikit-image's, its longer side shrunk to so many pixels."""
    image = Image.fromarray(getattr(data, name)())
    scale = side / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def of_truth(task: str, scene: TruthScene, captions: list[str]) -> Example:
    """Show a scene with a known answer, and its two liveliest borders enlarged."""
    sources = dict(zip(captions, map(stored, scene.sources), strict=True))
    size = detail_of(max(scene.size))
    borders = np.hypot(*np.gradient(scene.masks, axis=(1, 2))).sum(0)
    edges = np.hypot(*np.gradient(luma_of_pixels(scene.truth)))
    score = uniform_filter(borders, size) * uniform_filter(edges, size)
    inside = np.zeros_like(score)
    half = size // 2
    inside[half : -half or None, half : -half or None] = 1
    score = (score + 1e-9) * inside
    details = []
    for _ in range(2):
        row, column = np.unravel_index(np.argmax(score), score.shape)
        details.append(fitting((int(row) - half, int(column) - half), size, scene.truth))
        score[max(0, row - size) : row + size, max(0, column - size) : column + size] = 0
    return Example(task, sources, stored(scene.truth), details)


def detail_of(side: int) -> int:
    """Return the side of what is shown enlarged."""
    return max(8, side // 6)


def fitting(corner: tuple[int, int], size: int, image: NDArray[np.floating]) -> tuple[int, int]:
    """Move a corner so that its detail lies inside the image."""
    height, width = image.shape[:2]
    return max(0, min(corner[0], height - size)), max(0, min(corner[1], width - size))


def stored(unit: NDArray[np.floating]) -> Pixels:
    """Return values in [0, 1] as 8 bits."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def trivial(name: str, sources: list[Pixels]) -> Pixels:
    """Fuse luma trivially, as everywhere in fusionkit; colour is that of the sources' mean."""
    luma = torch.from_numpy(np.stack([luma_of_pixels(source) for source in sources]))
    fused = eight_bit(BASELINES[name](luma)).numpy()
    if all(source.ndim == 2 for source in sources):
        return fused.astype(np.uint8)
    colour = np.mean([s if s.ndim == 3 else np.stack([s] * 3, -1) for s in sources], axis=0)
    return stored((colour + (fused - luma_of_pixels(colour))[..., np.newaxis]) / 255)


def psnr(image: Pixels, truth: Pixels) -> float:
    """Return the PSNR of luma in dB, peak 255."""
    error = np.mean((luma_of_pixels(image) - luma_of_pixels(truth)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def sheet(example: Example) -> Image.Image:
    """Return sources, fusions and truth side by side, with enlarged details below each."""
    sources = list(example.sources.values())
    fused = np.asarray(fusionkit.fuse(sources, task=example.task).image)
    fusions = {name: trivial(name, sources) for name in ("mean", "laplacian-max")}
    fusions[f"fusionkit {example.task}"] = fused
    if example.noise:
        quiet = fusionkit.fuse(sources, task=example.task, noise=example.noise).image
        fusions[f"the same, --noise {' '.join(example.noise)}"] = np.asarray(quiet)
    images = {**example.sources, **fusions}
    if example.truth is not None:
        made = list(fusions)
        number = {name: f"{name} {psnr(images[name], example.truth):.1f} dB" for name in made}
        images = {number.get(name, name): image for name, image in images.items()}
        images["truth"] = example.truth
    height, width = sources[0].shape[:2]
    high = round(COLUMN * height / width)
    detail = detail_of(max(height, width))
    each = (COLUMN - GAP) // 2
    canvas = Image.new(
        "RGB", (len(images) * (COLUMN + GAP) - GAP, BAR + high + GAP + each), "white"
    )
    pen = ImageDraw.Draw(canvas)
    for place, (caption, pixels) in enumerate(images.items()):
        left = place * (COLUMN + GAP)
        image = Image.fromarray(pixels).convert("RGB")
        pen.text((left + 2, 2), caption, fill="black", font_size=13)
        canvas.paste(image.resize((COLUMN, high), Image.Resampling.LANCZOS), (left, BAR))
        for n, (row, column) in enumerate(example.details):
            cut = image.crop((column, row, column + detail, row + detail))
            cut = cut.resize((each, each), Image.Resampling.BICUBIC)
            canvas.paste(cut, (left + n * (each + GAP), BAR + high + GAP))
    return canvas


def as_jpeg(picture: Image.Image) -> bytes:
    """Return a picture as JPEG, as good as fits."""
    for quality in range(92, 30, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True, subsampling=0)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(EXAMPLES)}")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels (default: %(default)s)")
    given = parser.parse_args(arguments)
    names = given.only.split(",") if given.only else list(EXAMPLES)
    if not set(names) <= set(EXAMPLES):
        parser.error(f"--only {given.only}: there are {', '.join(EXAMPLES)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (given.folder / f"gallery-{name}.jpg").write_bytes(
            as_jpeg(sheet(EXAMPLES[name](given.side)))
        )


if __name__ == "__main__":
    main()
