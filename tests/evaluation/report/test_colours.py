"""Every pair of text and ground in the style sheet has the contrast that WCAG 2 AA asks for."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STYLE = (resources.files("fusionkit.evaluation.report") / "report.css").read_text("utf-8")
TEXTS = ("text", "muted", "accent", "better", "worse")
MARKS = ("edge", *(f"role-{n}" for n in range(5)))


def palettes():
    """The colours by name: light, dark by the device, dark by the button."""
    blocks = re.findall(r":root[^{]*\{([^}]*--page[^}]*)\}", STYLE.partition("@media print")[0])
    return [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks]


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_both_ways_to_dark_are_the_same():
    light, by_device, by_button = palettes()
    assert by_device == by_button
    assert light.keys() == by_device.keys()
    assert light != by_device


@pytest.mark.parametrize("place", [0, 1])
def test_contrast(place):
    palette = palettes()[place]
    pairs = [(name, ground, 4.5) for name in TEXTS for ground in ("page", "panel")]
    pairs += [(name, ground, 3.0) for name in MARKS for ground in ("page", "panel")]
    pairs += [("on-warning", "warning", 4.5), ("page", "accent", 4.5)]
    poor = {
        (name, ground): contrast(palette[name], palette[ground])
        for name, ground, least in pairs
        if contrast(palette[name], palette[ground]) < least
    }
    assert poor == {}
