"""Values on published results that several correct implementations agree on."""

import pytest

from .common import seafusion, value

ORACLE = {
    "sd": (48.1490, 41.4325, 5e-5),
    "sf": (12.80256, 12.95306, 5e-6),
    "mi": (2.544242, 2.826642, 5e-7),
    "ssim": (1.442474, 1.471655, 5e-7),
    "vif": (0.631394, 0.632111, 5e-7),
    "scd": (1.810507, 1.836403, 5e-7),
    "en": (7.171017, 7.173358, 5e-7),
    # Grey levels of grey files are exact here; where luma carries rounding noise, vertical
    # derivatives of 1e-14 decide between π/2 and -π/2: then .4739 and .5226 come out.
    "qabf": (0.47394, 0.52281, 5e-6),
}


@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("pair", [0, 1], ids=["01", "03"])
def test_seafusion_on_tno(name: str, pair: int) -> None:
    fused, sources = seafusion(("01", "03")[pair])
    *expected, tolerance = ORACLE[name]
    assert value(name, fused, *sources) == pytest.approx(expected[pair], abs=tolerance)


@pytest.mark.parametrize(("pair", "expected"), [("01", 0.50358), ("03", 0.55567)])
def test_wrapped_orientation(pair: str, expected: float) -> None:
    fused, sources = seafusion(pair)
    wrapped = value("qabf", fused, *sources, orientation="wrapped")
    assert wrapped == pytest.approx(expected, abs=1e-5)


def test_other_conventions_of_the_field() -> None:
    """What toolkits print for this image, from the same quantities."""
    fused, sources = seafusion("01")
    assert value("ag", fused, *sources) == pytest.approx(5.0120, abs=5e-5)
    assert value("psnr", fused, *sources) == pytest.approx(13.52, abs=5e-3)
    height, width = fused.shape
    toolbox = (fused.diff(dim=-1).square().sum() + fused.diff(dim=-2).square().sum()) ** 0.5
    assert float(toolbox / (height * width) ** 0.5) == pytest.approx(12.7929, abs=5e-5)


@pytest.mark.slow
def test_rounding_noise_of_luma_does_not_matter_to_edges() -> None:
    fused, sources = seafusion("03")
    for name in ("qabf", "nabf"):
        exact = value(name, fused.round(decimals=6), *sources.round(decimals=6))
        assert value(name, fused + 1e-13, *(sources - 1e-13)) == pytest.approx(exact, abs=1e-9)
