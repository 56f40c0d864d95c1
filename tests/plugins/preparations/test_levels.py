"""What noise is asked for, and what is found: a level for every source."""

import numpy as np
import pytest
from fusionkit_preparations import NoiseOptions
from fusionkit_preparations.levels import levels_of, noise_of

from fusionkit import Sources
from fusionkit.contract.options import from_mapping
from fusionkit.errors import UsageError
from fusionkit.imaging import picture_from_array


def test_what_is_not_named_is_estimated_or_has_none():
    assert levels_of((), 2) == (0, 0)
    assert levels_of(("2:10",), 3) == (0, 10, 0)
    assert levels_of(("auto", "1:2.5"), 2) == (2.5, None)


@pytest.mark.parametrize("text", ["3:1", "0:1", "1", "1:x", "1:-2", "1:nan", "1:300", "a:3", "no"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="--noise"):
        levels_of(from_mapping(NoiseOptions, {"levels": [text]}, "noise").levels, 2)


def test_a_source_has_one_level():
    with pytest.raises(UsageError, match="twice"):
        from_mapping(NoiseOptions, {"levels": ["1:2", "1:3"]}, "noise")


def test_luma_of_independent_channels_has_less_noise():
    random = np.random.default_rng(0)
    rgb = np.clip(128 + 10 * random.standard_normal((256, 256, 3)), 0, 255).astype(np.uint8)
    picture = picture_from_array(rgb, "one")
    luma = np.stack([rgb @ [0.299, 0.587, 0.114] / 255] * 2)
    scene = Sources((picture, picture), luma[:, None])
    given, estimated = (noise_of(scene, (text, "2:0"))[0] for text in ("1:10", "auto"))
    share = np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert given.luma == pytest.approx(10 * share)
    assert estimated.luma == pytest.approx(10 * share, rel=0.1)
    assert estimated.channel == pytest.approx(10, rel=0.1)


def test_noise_that_nobody_asked_for_is_seen_but_stays():
    random = np.random.default_rng(0)
    grey = np.clip(128 + 20 * random.standard_normal((128, 128)), 0, 255).astype(np.uint8)
    picture = picture_from_array(grey, "one")
    scene = Sources((picture,), grey[None, None] / 255)
    quiet, asked = (noise_of(scene, texts) for texts in ((), ("auto",)))
    assert quiet[0].luma == 0
    assert quiet[0].seen == pytest.approx(20, rel=0.1)
    assert not quiet[0].asked
    assert asked[0].luma == asked[0].seen
