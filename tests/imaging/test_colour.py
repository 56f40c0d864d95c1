"""Colour: luma is what was fused, chroma follows the plan and stays inside the gamut."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import (
    Metadata,
    OutputFormat,
    check_same_size,
    from_unit,
    output_format,
    picture_from_array,
    plan_colour,
    read_picture,
    values,
)
from fusionkit.imaging.chroma import chroma_distance, into_gamut
from fusionkit.imaging.exposures import headroom
from fusionkit.imaging.luma import Lumas, luma_of
from fusionkit.imaging.storing import Storage

LUMA = np.array([0.299, 0.587, 0.114])


def picture(samples, name="a"):
    return picture_from_array(samples, name)


def levels_of_luma(stored, top):
    return stored.astype(np.float64) @ LUMA if stored.ndim == 3 else stored.astype(np.float64)


@pytest.fixture
def photos():
    """Two colour photographs and a grey one, of one size, uint8."""
    side = (slice(100, 164), slice(100, 180))
    return [data.astronaut()[side], data.coffee()[side], data.camera()[side]]


@pytest.fixture
def weights(rng):
    raw = rng.random((3, 64, 80))
    return raw / raw.sum(axis=0)


# --- what is fused ---------------------------------------------------------------------------


def test_luma_is_bt601(photos):
    plan = plan_colour([picture(p) for p in photos])
    assert np.asarray(plan.luma).dtype == np.float32
    assert plan.luma.shape == (3, 64, 80)
    np.testing.assert_allclose(plan.luma[0], photos[0] @ LUMA / 255, atol=1e-6)
    np.testing.assert_allclose(plan.luma[2], photos[2] / 255, atol=1e-7)


def test_luma_of_equal_channels_is_exact(make):
    grey = make("uint16")
    plan = plan_colour([picture(grey), picture(np.dstack([grey] * 3))])
    np.testing.assert_array_equal(plan.luma[0], plan.luma[1])


def test_luma_stays_in_range():
    white = np.full((4, 4, 3), 255, np.uint8)
    white[0, 0] = (255, 0, 0)
    luma = np.asarray(plan_colour([picture(white)]).luma)
    assert luma.max() <= 1


def test_stretch_comes_first():
    samples = np.full((4, 4, 3), 100, np.uint8)
    samples[0, 0], samples[0, 1] = (50, 50, 50), (150, 100, 50)
    plan = plan_colour([picture_from_array(samples, "a", "own")])
    np.testing.assert_allclose(plan.luma[0, 0, 0], 0, atol=1e-7)
    np.testing.assert_allclose(plan.luma[0, 0, 1], np.array([1, 0.5, 0]) @ LUMA, atol=1e-6)
    np.testing.assert_allclose(plan.attach(plan.luma[0])[0, 1], [1, 0.5, 0], atol=1e-6)


# --- the rules -------------------------------------------------------------------------------


def test_grey_only(make):
    plan = plan_colour([picture(make()), picture(make())])
    assert (plan.kind, plan.chroma, plan.layout) == ("grey", "none", 1)
    fused = np.asarray(plan.luma).mean(axis=0)
    np.testing.assert_allclose(plan.attach(fused), fused)


@pytest.mark.parametrize("chroma", ["auto", "weights", "distance"])
def test_grey_content_keeps_the_richest_layout(make, chroma):
    grey = make()
    plan = plan_colour([picture(grey), picture(np.dstack([grey] * 3))], chroma)
    assert (plan.kind, plan.chroma, plan.layout) == ("grey", "none", 3)
    result = plan.attach(plan.luma[0])
    assert result.shape == (7, 9, 3)
    assert (result == result[..., :1]).all()


@pytest.mark.parametrize("chroma", ["auto", "weights", "distance", "1"])
def test_one_colour_source_gives_its_chroma(photos, weights, chroma):
    plan = plan_colour([picture(photos[0]), picture(photos[2])], chroma)
    assert (plan.kind, plan.chroma, plan.layout) == ("one colour source", "source 1", 3)
    result = plan.attach(plan.luma[0], weights[:2])
    np.testing.assert_allclose(result, photos[0] / 255, atol=1e-6)


def test_several_colour_sources(photos):
    pictures = [picture(p) for p in photos]
    plan = plan_colour(pictures)
    assert (plan.kind, plan.chroma, plan.layout) == ("several colour sources", "weights", 3)
    assert plan_colour(pictures, "distance").chroma == "distance"
    assert plan_colour(pictures, "2").chroma == "source 2"
    none = plan_colour(pictures, "none")
    assert (none.kind, none.chroma, none.layout) == ("several colour sources", "none", 1)
    assert none.attach(none.luma[0]).shape == (64, 80)


def test_a_number_gives_that_source(photos):
    plan = plan_colour([picture(p) for p in photos], "2")
    np.testing.assert_allclose(plan.attach(plan.luma[1]), photos[1] / 255, atol=1e-6)


@pytest.mark.parametrize("chroma", ["0", "4", "-1", "x", "", "1.0", "²"])
def test_unknown_rule(photos, chroma):
    with pytest.raises(UsageError, match="source number from 1 to 3"):
        plan_colour([picture(p) for p in photos], chroma)


def test_number_of_a_grey_source(photos):
    with pytest.raises(ImageError, match="ir: source 3 is grey"):
        plan_colour([picture(photos[0]), picture(photos[1]), picture(photos[2], "ir")], "3")


def test_weights_are_renormalised_over_the_colour_sources(photos):
    plan = plan_colour([picture(p) for p in photos])
    weights = np.zeros((3, 64, 80))
    weights[0], weights[2] = 0.1, 0.9
    # The grey source has the larger weight, and still all the chroma is that of source 1.
    assert not plan.exposures  # one is brighter, but they do not show the same
    np.testing.assert_allclose(plan.attach(plan.luma[0], weights), photos[0] / 255, atol=1e-6)


def test_colour_sources_without_weight_share_equally(photos):
    plan = plan_colour([picture(p) for p in photos])
    nothing, equal = np.zeros((3, 64, 80)), np.ones((3, 64, 80))
    nothing[2] = 1
    np.testing.assert_array_equal(
        plan.attach(plan.luma[2], nothing), plan.attach(plan.luma[2], equal)
    )


def test_distance_prefers_the_more_colourful():
    # Of one luma: frames that differ in it are exposures, of which all know the colour.
    vivid, dull = np.full((2, 2, 3), (200, 100, 100)), np.full((2, 2, 3), (150, 121, 121))
    pictures = [picture(p.astype(np.uint8)) for p in (vivid, dull)]
    plan = plan_colour(pictures, "distance")
    result = plan.attach(np.full((2, 2), 0.5))[0, 0] - 0.5
    d1, d2 = (p[0, 0] / 255 - p[0, 0] @ LUMA / 255 for p in (vivid, dull))
    n1, n2 = (chroma_distance(d[None, None])[0, 0] for d in (d1, d2))
    assert n1 > 3 * n2
    np.testing.assert_allclose(result, (n1 * d1 + n2 * d2) / (n1 + n2), atol=1e-6)


def test_distance_where_all_are_neutral():
    first, second = np.full((2, 2, 3), 90, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    first[0, 0] = second[0, 1] = (10, 20, 30)
    plan = plan_colour([picture(first), picture(second)], "distance")
    np.testing.assert_allclose(plan.attach(np.full((2, 2), 0.3))[1], 0.3, atol=1e-7)


@pytest.mark.parametrize("chroma", ["weights", "distance"])
def test_order_of_the_sources_does_not_matter(photos, weights, chroma):
    fused = weights[0]
    results = []
    for order in itertools.permutations(range(3)):
        plan = plan_colour([picture(photos[k]) for k in order], chroma)
        results.append(plan.attach(fused, weights[list(order)]))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-12)


def test_missing_or_wrong_arrays(photos, weights):
    plan = plan_colour([picture(p) for p in photos])
    with pytest.raises(ValueError, match="weights of shape"):
        plan.attach(plan.luma[0])
    with pytest.raises(ValueError, match="weights of shape"):
        plan.attach(plan.luma[0], weights[:2])
    with pytest.raises(ValueError, match="luma of shape"):
        plan.attach(plan.luma[0, 1:], weights)


def test_record(photos):
    plan = plan_colour([picture(photos[2]), picture(photos[0]), picture(photos[1])])
    record = json.loads(json.dumps(plan.record()))
    assert record["kind"] == "several colour sources"
    assert record["chroma"] == "weights"
    assert record["chroma_sources"] == [2, 3]
    assert record["channels"] == 3


# --- clipped pixels --------------------------------------------------------------------------

SKY = np.array([0.35, 0.62, 0.85])


def exposures(*gains, colour=SKY):
    """One colour at several exposures, values multiplied, clipped, and stored in 16 bits."""
    shots = [np.rint((gain * colour).clip(0, 1) * 65535).astype(np.uint16) for gain in gains]
    return [picture(np.broadcast_to(shot, (4, 4, 3))) for shot in shots]


def hue(rgb):
    """Degrees around the grey axis."""
    red, green, blue = np.moveaxis(np.asarray(rgb, float), -1, 0)
    return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))


def hue_error(rgb, truth):
    return np.abs((hue(rgb) - hue(truth) + 180) % 360 - 180)


@pytest.mark.parametrize("chroma", ["weights", "distance"])
@pytest.mark.parametrize("gains", [(0.5, 1.6), (1.6, 0.5), (0.3, 0.9, 2.2), (0.3, 1.5, 2.2)])
def test_clipped_pixels_have_no_say_on_hue(chroma, gains):
    pictures = exposures(*gains)
    brightest = int(np.argmax(gains))
    assert hue_error(pictures[brightest].pixels, SKY).min() > 10
    plan = plan_colour(pictures, chroma)
    weights = np.zeros((len(gains), 4, 4))
    weights[brightest] = 1
    assert hue_error(plan.attach(np.full((4, 4), 0.6), weights), SKY).max() < 0.5


@pytest.mark.parametrize("chroma", ["weights", "distance"])
def test_where_all_are_clipped_the_least_clipped_has_its_say(chroma):
    one, two, three = exposures(1.3, 2.0, 3.0)  # in one channel, in two, in three
    assert [int((p.pixels[0, 0] == 65535).sum()) for p in (one, two, three)] == [1, 2, 3]
    plan = plan_colour([three, two, one], chroma)
    weights = np.zeros((3, 4, 4))
    weights[0] = 1
    result = plan.attach(np.full((4, 4), 0.6), weights)
    assert hue_error(result, one.pixels / 65535).max() < 0.5


@pytest.mark.parametrize("chroma", ["weights", "distance"])
@pytest.mark.parametrize("chosen", [0, 1])
def test_exposures_agree_on_colour(photos, chroma, chosen):
    """A dark frame tells the hue and the saturation of a bright one, whichever is fused from."""
    light = photos[0] / 255 * 0.7
    frames = [picture((light * gain * 255).astype(np.uint8)) for gain in (0.2, 1.0)]
    plan = plan_colour(frames, chroma)
    assert plan.exposures
    weights = np.zeros((2, 64, 80))
    weights[chosen] = 1
    bright = plan.attach(plan.luma[1], weights)
    assert np.sqrt(np.square(bright - light).mean()) < 0.01
    dark = plan.attach(plan.luma[0], weights)
    assert np.sqrt(np.square(dark - light * 0.2).mean()) < 0.01


def test_the_brightest_frame_that_holds_it_gives_the_colour():
    """Colour of a nearly black frame is noise: patches of grey in a dark door, before."""
    rng = np.random.default_rng(0)
    door = np.broadcast_to((0.25, 0.1, 0.05), (40, 40, 3)) + 0.02 * rng.random((40, 40, 1))
    black = np.rint(door * 0.04 * 255 + rng.random((40, 40, 3)))
    frames = [picture(black.astype(np.uint8)), picture(np.rint(door * 255).astype(np.uint8))]
    plan = plan_colour(frames)
    weights = rng.integers(0, 2, (1, 40, 40)).astype(float)
    result = plan.attach(plan.luma[1], np.concatenate([weights, 1 - weights]))
    assert np.abs(result - door).max() < 0.02


def test_say_is_lost_gradually():
    values = np.linspace(0.85, 1, 200)
    rgb = np.stack([np.stack([values] * 3, -1), np.full((200, 3), 0.5)])[:, None]
    bright, dark = headroom(rgb)[:, 0]
    assert (dark == 1).all()
    assert (bright[values <= 0.9] == 1).all()
    assert (bright[values >= 0.98] < 1e-8).all()
    assert np.diff(bright).max() <= 0
    assert np.diff(bright).min() > -0.05


def test_frames_of_one_exposure_share_by_the_weights_alone():
    """As of a focus stack, whose sharp highlights are clipped and whose blurred ones are not."""
    sharp, blurred = np.full((2, 40, 40, 3), (120, 110, 100), np.uint8)
    sharp[10:14, 10:14] = (255, 255, 60)
    blurred[8:16, 8:16] = (155, 145, 90)
    plan = plan_colour([picture(sharp), picture(blurred)])
    assert not plan.exposures
    weights = np.stack([np.ones((40, 40)), np.zeros((40, 40))])
    np.testing.assert_allclose(plan.attach(plan.luma[0], weights), sharp / 255, atol=1e-6)


# --- a tint is grey --------------------------------------------------------------------------


def tinted(grey, kind, rng):
    """An infrared image as it comes in RGB files."""
    stack = np.dstack([grey] * 3).astype(float)
    if kind == "warm":
        stack += (4, 0, -3)
    elif kind == "noisy":
        stack += rng.normal(0, 1.5, stack.shape)
    else:
        stack[3:5, 3:9] = (200, 10, 10)  # a cross hair
    return np.rint(stack.clip(0, 255)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["warm", "noisy", "cross hair"])
@pytest.mark.parametrize("chroma", ["auto", "weights"])
def test_a_tinted_image_counts_as_grey(photos, weights, rng, kind, chroma):
    infrared = picture(tinted(photos[2], kind, rng))
    assert infrared.is_colour
    assert infrared.is_tinted
    visible = picture(photos[0])
    assert not visible.is_tinted
    plan = plan_colour([infrared, visible], chroma)
    assert (plan.kind, plan.chroma, plan.layout) == ("one colour source", "source 2", 3)
    result = plan.attach(plan.luma[1], weights[:2])
    np.testing.assert_allclose(result, photos[0] / 255, atol=1e-6)


def test_a_tint_is_kept_where_there_is_no_other_colour(photos, rng):
    faint = tinted(photos[2], "warm", rng)
    plan = plan_colour([picture(faint), picture(photos[2])])
    np.testing.assert_allclose(plan.attach(plan.luma[0]), faint / 255, atol=1e-6)
    both = plan_colour([picture(faint), picture(faint // 2)])
    assert both.chroma == "weights"
    # And where it is asked for by number, whatever there is.
    asked = plan_colour([picture(faint), picture(photos[0])], "1")
    assert asked.chroma == "source 1"


def test_colours_are_no_tint(photos):
    dull = (photos[2][..., None] // 2 + np.array([0, 5, 10])).astype(np.uint8)  # 10 levels apart
    assert not picture(dull).is_tinted
    assert not picture(photos[2]).is_tinted


# --- gamut and luma --------------------------------------------------------------------------

CORNERS = np.array(list(itertools.product([0, 1], repeat=3)), float)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("saturated", [False, True])
def test_luma_written_is_luma_fused(rng, dtype, saturated):
    top = np.iinfo(dtype).max
    colours = [
        CORNERS[rng.integers(0, 8, (64, 64))] if saturated else rng.random((64, 64, 3))
        for _ in range(3)
    ]
    plan = plan_colour([picture(from_unit(c, dtype, 0, top)) for c in colours])
    fused = rng.random((64, 64)).astype(np.float32)
    fused[0], fused[1] = 0, 1
    weights = rng.random((3, 64, 64))
    result = plan.attach(fused, weights / weights.sum(axis=0))
    assert result.min() >= 0
    assert result.max() <= 1
    np.testing.assert_allclose(result @ LUMA, fused, atol=1e-7)
    written = from_unit(result, dtype, 0, top)
    assert np.abs(levels_of_luma(written, top) - fused.astype(np.float64) * top).max() <= 1
    assert (written[0] == 0).all()
    assert (written[1] == top).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("saturated", [False, True])
def test_own_luma_with_own_chroma_is_the_source(rng, dtype, saturated):
    top = np.iinfo(dtype).max
    colours = CORNERS[rng.integers(0, 8, (32, 32))] if saturated else rng.random((32, 32, 3))
    samples = from_unit(colours, dtype, 0, top)
    plan = plan_colour([picture(samples)])
    written = from_unit(plan.attach(plan.luma[0]), dtype, 0, top)
    np.testing.assert_array_equal(written, samples)


def test_photograph_comes_back(photos, weights):
    for photo in photos[:2]:
        plan = plan_colour([picture(photo)] * 3)
        written = from_unit(plan.attach(plan.luma[1], weights), "uint8", 0, 255)
        assert np.abs(written.astype(int) - photo).max() <= 1


def test_colour_is_desaturated_not_clipped(rng):
    offset = rng.random((40, 40, 3)) - 0.5
    offset -= (offset @ LUMA)[..., None]
    luma = rng.random((40, 40))
    result = into_gamut(luma, offset)
    chroma = result - luma[..., None]
    # The hue stays: chroma is a multiple of the offset, by one gain for all three channels.
    gain = (chroma * offset).sum(-1) / (offset**2).sum(-1)
    np.testing.assert_allclose(chroma, gain[..., None] * offset, atol=1e-12)
    assert gain.min() >= 0
    assert gain.max() <= 1 + 1e-12
    # And the gain is the largest: it is 1, or a channel touches the boundary.
    touches = (np.minimum(result, 1 - result) < 1e-12).any(-1)
    assert (touches | (gain > 1 - 1e-12)).all()
    assert (gain < 0.99).any()


@pytest.mark.parametrize("luma", [0.0, 1.0])
def test_black_and_white_have_no_room_for_colour(luma):
    offset = np.array([[[0.0, 0.0, 0.0], [0.3, -0.2, 0.0], [-0.0, 1e-9, -0.1]]])
    result = into_gamut(np.full((1, 3), luma), offset)
    assert np.array_equal(result, np.full((1, 3, 3), luma))


# --- sizes, profile --------------------------------------------------------------------------


def test_same_size():
    one, two = np.zeros((4, 6), np.uint8), np.zeros((5, 6), np.uint8)
    check_same_size([picture(one), picture(np.dstack([one] * 3))])
    for check in (check_same_size, plan_colour):
        with pytest.raises(ImageError) as caught:
            check([picture(one, "a.png"), picture(two, "b.png"), picture(one, "c.png")])
        message = str(caught.value)
        assert "a.png is 6x4, b.png is 6x5, c.png is 6x4" in message
        assert "registered images of one size" in message


def test_profile_of_the_result(tmp_path, make):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(make("uint8", 3)).save(tmp_path / "vi.png", icc_profile=srgb)
    visible, infrared = read_picture(tmp_path / "vi.png"), picture(make())
    assert plan_colour([infrared, visible]).icc == srgb
    assert plan_colour([infrared, visible], "none").icc is None
    assert plan_colour([visible, picture(make("uint8", 3))]).icc is None
    assert plan_colour([visible, picture(make("uint8", 3))], "1").icc == srgb


def test_bands_make_up_an_image_and_change_nothing(make, rng, monkeypatch):
    sources = [make(channels=n, height=9, width=7) for n in (3, 1, 3)]
    pictures = [picture_from_array(samples, "a", "own") for samples in sources]
    shares = rng.random((3, 9, 7))
    whole = plan_colour(pictures)
    expected = whole.attach(whole.luma[1], shares)
    monkeypatch.setattr(values, "BAND", 15)
    rows = list(values.bands(9, 7))
    assert [band.stop - band.start for band in rows] == [2, 2, 2, 2, 1]
    plan = plan_colour(pictures)
    assert np.array_equal(plan.luma, whole.luma)
    for columns in (slice(None), slice(2, 6)):
        places = [(band, columns) for band in rows]
        parts = [plan.part(at).attach(plan.luma[1][at], shares[:, *at]) for at in places]
        assert np.array_equal(np.concatenate(parts), expected[:, columns])


@pytest.mark.parametrize("kept", [0, 2**26])
def test_luma_is_the_same_made_when_it_is_asked_for(make, rng, monkeypatch, kept):
    shapes = [("uint8", 3), ("uint8", 1), ("uint16", 3), ("float32", 3), ("uint8", 3)]
    sources = [make(dtype, channels) for dtype, channels in shapes]
    sources[4] = np.repeat(sources[4][..., :1], 3, axis=-1)
    pictures = [picture(samples) for samples in sources]
    pictures.append(picture_from_array(sources[0], "of a range", (17, 200)))
    monkeypatch.setattr("fusionkit.imaging.luma.KEPT", kept)
    made = Lumas(pictures)
    expected = [
        unit if (unit := each.unit()).ndim == 2 else luma_of(unit).astype(np.float32)
        for each in pictures
    ]
    expected[4] = pictures[4].unit()[..., 0]
    whole = np.asarray(made)
    assert whole.dtype == np.float32
    assert whole.shape == made.shape == (6, *pictures[0].shape)
    assert np.array_equal(whole, expected)
    assert np.array_equal(list(made), expected)
    assert np.array_equal(made[:, 3:9, 5:7], whole[:, 3:9, 5:7])
    assert np.array_equal(made[1:3, 4:], whole[1:3, 4:])
    assert np.array_equal(made.rows_of(2)(slice(1, 5)), expected[2][1:5])
    assert np.array_equal(made.least, whole.min((1, 2)))


@pytest.mark.parametrize("kept", [0, 2**26])
def test_luma_of_a_part_is_made_when_it_is_asked_for(photos, monkeypatch, kept):
    monkeypatch.setattr("fusionkit.imaging.luma.KEPT", kept)
    lumas = Lumas([picture(photo) for photo in photos])
    whole, read = np.asarray(lumas), []
    lumas._read = [lambda place, each=each: read.append(1) or each(place) for each in lumas._read]
    part = lumas.part((slice(5, 40), slice(None)))
    again = part.part((slice(None, 9), slice(-7, None)))
    assert not read
    assert part.shape == (3, 35, 80)
    assert again.shape == (3, 9, 7)
    assert np.array_equal(part, whole[:, 5:40])
    assert np.array_equal(part[1], whole[1, 5:40])
    assert np.array_equal(again, whole[:, 5:14, 73:])
    assert bool(read) == (kept == 0)
    assert np.array_equal(again.least, whole[:, 5:14, 73:].min((1, 2)))
    assert np.array_equal(lumas.least, whole.min((1, 2)))


def test_shares_of_colour_are_summed_source_by_source(photos, rng):
    many = [np.roll(photos[0], 5 * turn, 1) for turn in range(7)] + [photos[2]]
    plan = plan_colour([picture(photo) for photo in many])
    assert plan.by_weights
    weights = rng.random(plan.luma.shape)
    shares = weights[:7] / weights[:7].sum(0)
    together = (shares[..., None] * np.stack(list(plan.offsets.values()))).sum(0)
    luma = rng.random(plan.luma.shape[1:])
    assert np.array_equal(plan.attach(luma, weights), into_gamut(luma, together))


def test_colour_is_made_for_the_rows_that_are_asked_for(photos):
    shown = np.ones((len(photos), *photos[0].shape[:2]), bool)
    shown[0, :7, :9] = False
    plan = plan_colour([picture(photo) for photo in photos], "weights", shown)
    rows = slice(5, 12), slice(3, 20)
    part = plan.part(rows)
    assert list(part.offsets) == list(plan.offsets)
    for source, offset in plan.offsets.items():
        assert np.array_equal(part.offsets[source], offset[rows])
        assert (offset[~shown[source]] == 0).all()


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_colour_is_stored_to_the_same_bits_by_any_number_of_threads(
    rng, photos, depth, monkeypatch
):
    monkeypatch.setattr(values, "BAND", 2**11)
    top = 1.0 if depth == "float32" else np.iinfo(depth).max
    pictures = [picture((photo / 255 * top).astype(depth)) for photo in photos]
    plan = plan_colour(pictures)
    luma = rng.random(plan.luma.shape[1:])
    weights = rng.random(plan.luma.shape)
    storage = Storage(output_format(pictures), None, None, None, Metadata())
    expected = from_unit(plan.attach(luma, weights), depth, 0, top)
    for threads in (1, 2, 5):
        assert np.array_equal(storage.pixels(plan, luma, weights, threads), expected)


def test_what_goes_wrong_on_a_thread_is_raised(photos, monkeypatch):
    monkeypatch.setattr(values, "BAND", 2**11)
    plan = plan_colour([picture(photo) for photo in photos])
    storage = Storage(OutputFormat(np.dtype("uint8"), 0, 255), None, None, None, Metadata())
    with pytest.raises(ValueError, match="weights of shape"):
        storage.pixels(plan, np.asarray(plan.luma)[0], np.ones((1, *plan.luma.shape[1:])), 2)
