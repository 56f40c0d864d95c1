"""fusionkit.fuse: what goes in comes out, in kind, depth, layout and range."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import fusionkit
from fusionkit import FusionkitWarning, ImageError, UsageError
from fusionkit.imaging import read_picture

SIZE = (25, 30)
QUICK = {"steps": 2, "weighting": "fixed", "objective": "mse"}
LED = {"objective": {"name": "mse", "strength": 0.1}}  # looks at the fused trajectory


def random_image(seed: int, dtype: type, channels: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((*SIZE, channels) if channels else SIZE)
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    return (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [0, 1, 3])
def test_arrays_come_back_in_their_own_dtype_and_layout(dtype, channels):
    sources = [random_image(seed, dtype, channels) for seed in (1, 2)]
    image = fusionkit.fuse(sources, **QUICK).image
    assert isinstance(image, np.ndarray)
    assert image.dtype == dtype
    assert image.shape == sources[0].shape


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_tensors_come_back_as_tensors_channels_first(channels):
    shape = SIZE if channels is None else (channels, *SIZE)
    sources = [torch.rand(shape, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    for source in sources:
        if channels in (2, 4):
            source[-1] = 0.5
    image = fusionkit.fuse(sources, **QUICK).image
    assert isinstance(image, torch.Tensor)
    assert image.dtype == torch.float32
    assert tuple(image.shape) == shape
    if channels in (2, 4):
        assert (image[-1] == 0.5).all()


def test_inputs_are_not_changed_and_the_result_is_the_callers_own():
    source = random_image(1, np.float32)
    before = source.copy()
    first = fusionkit.fuse([source, source], **QUICK).image
    first[:] = 7
    assert (source == before).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_identical_sources_come_back(dtype):
    source = random_image(3, dtype)
    image = fusionkit.fuse([source, source], objective={"strength": 0}).image
    scale = 1 if dtype is np.float32 else np.iinfo(dtype).max
    # Half a level of rounding for integers, and the float32 of the computation itself.
    tolerance = 1e-5 if dtype is np.float32 else max(1.0, 1e-5 * scale)
    assert np.abs(image.astype(float) - source.astype(float)).max() <= tolerance


def test_mixed_depths_give_the_deepest():
    image = fusionkit.fuse([random_image(1, np.uint8), random_image(2, np.uint16)], **QUICK).image
    assert image.dtype == np.uint16
    assert image.max() > 40000


def test_twelve_bits_stay_twelve_bits():
    sources = [random_image(seed, np.uint16) // 16 for seed in (1, 2)]
    result = fusionkit.fuse(sources, range=["1:0,4095", "2:0,4095"], **QUICK)
    assert result.image.dtype == np.uint16
    assert 2000 < result.image.max() <= 4095
    assert result.record["output"] == {"dtype": "uint16", "range": [0.0, 4095.0]}


def test_the_record_says_what_was_done():
    sources = [random_image(1, np.uint8), random_image(2, np.uint8, 3)]
    weighting, objective = {"window": 5, "dynamic": True, "stride": 1}, {"strength": 0.02}
    record = fusionkit.fuse(
        sources, seed=5, weighting=weighting, objective=objective, steps=3
    ).record
    json.dumps(record)
    assert record["recipe"]["seed"] == 5
    assert record["recipe"]["weighting"]["window"] == 5
    assert record["colour"]["chroma"] == "source 2"
    assert record["run"]["nfe"] == 9.0
    assert [entry["layout"] for entry in record["inputs"]] == ["grey", "rgb"]
    assert record["components"]["weighting"]["distribution"] == "fusionkit-imaging"


@pytest.mark.slow
def test_a_record_is_a_recipe():
    sources = [random_image(1, np.uint8), random_image(2, np.uint8)]
    result = fusionkit.fuse(sources, seed=5, steps=3, sampler={"eta": 1.0}, **LED)
    again = fusionkit.fuse(sources, recipe=result.record["recipe"])
    assert (again.image == result.image).all()


def test_objects_of_ones_own_are_named_in_the_record():
    class Half:
        def start(self, run):
            K, B, _, H, W = run.sources.shape
            return lambda step: run.sources.new_full((K, B, 1, H, W), 1 / K)

    record = fusionkit.fuse([random_image(s, np.uint8) for s in (1, 2)], weighting=Half()).record
    assert record["components"]["weighting"]["name"].endswith("Half>")


def test_one_pipeline_serves_many_scenes():
    pipe = fusionkit.compose(**QUICK)
    pairs = [[random_image(a, np.uint8), random_image(b, np.uint8)] for a, b in ((1, 2), (3, 4))]
    once = [fusionkit.fuse(pair, pipeline=pipe, seed=2).image for pair in pairs]
    alone = [fusionkit.fuse(pair, seed=2, **QUICK).image for pair in pairs]
    assert all((a == b).all() for a, b in zip(once, alone, strict=True))
    with pytest.raises(UsageError, match="only seed"):
        fusionkit.fuse(pairs[0], pipeline=pipe, steps=3)


def test_a_callback_sees_every_step():
    seen = []
    fusionkit.fuse(
        [random_image(1, np.uint8), random_image(2, np.uint8)],
        on_step=lambda done: seen.append(done.step.index),
        weighting={"dynamic": True},
        steps=4,
    )
    assert seen == [0, 1, 2, 3]


def test_save_writes_image_and_record_and_overwrites_nothing(tmp_path):
    result = fusionkit.fuse([random_image(1, np.uint8), random_image(2, np.uint8)], **QUICK)
    result.save(tmp_path / "o.png")
    assert (np.asarray(Image.open(tmp_path / "o.png")) == result.image).all()
    assert json.loads((tmp_path / "o.png.json").read_text()) == result.record
    with pytest.raises(UsageError, match="overwrite"):
        result.save(tmp_path / "o.png")
    result.save(tmp_path / "o.png", overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_saving_makes_folders_and_never_replaces_a_source(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for seed, path in enumerate(paths):
        Image.fromarray(random_image(seed, np.uint8)).save(path)
    before = paths[0].read_bytes()
    result = fusionkit.fuse(paths, **QUICK)
    (tmp_path / "link.png").symlink_to(paths[0])
    for name in ("a.png", "link.png"):
        with pytest.raises(UsageError, match="source"):
            result.save(tmp_path / name, overwrite=True)
    assert paths[0].read_bytes() == before
    result.save(tmp_path / "new" / "folder" / "o.jpg")
    image = (tmp_path / "new" / "folder" / "o.jpg").read_bytes()
    assert result.record["output"]["sha256"] == hashlib.sha256(image).hexdigest()
    fusionkit.fuse(paths, **QUICK, quality=40).save(tmp_path / "coarse.jpg")
    assert len((tmp_path / "coarse.jpg").read_bytes()) < len(image)


def test_a_result_says_what_it_is_in_one_line():
    result = fusionkit.fuse([random_image(1, np.uint8), random_image(2, np.uint8, 3)], **QUICK)
    assert repr(result) == (
        "<Result 30x25 uint8 RGB, diffusion:compact fixed:fixed objectives:mse samplers:direct>"
    )


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_files_bytes_and_images_are_sources_as_arrays_are(tmp_path, dtype):
    arrays = [random_image(seed, dtype) for seed in (1, 2)]
    paths = [tmp_path / f"{seed}.png" for seed in (1, 2)]
    for path, array in zip(paths, arrays, strict=True):
        path.write_bytes(encoded(array))
    expected = fusionkit.fuse(arrays, **QUICK).image
    images = [Image.open(path) for path in paths]
    data = [path.read_bytes() for path in paths]
    files = [io.BytesIO(each) for each in data]
    for sources in (images, data, files, [bytearray(data[0]), paths[1]], [images[0], arrays[1]]):
        fused = fusionkit.fuse(sources, **QUICK).image
        assert fused.dtype == dtype
        assert (fused == expected).all()
    with open(paths[0], "rb") as near, open(paths[1], "rb") as far:
        assert (fusionkit.fuse([near, far], **QUICK).image == expected).all()


@pytest.mark.parametrize("kind", ["png", "bmp", "tif", "jpg"])
def test_images_keep_the_resolution_of_their_files(tmp_path, kind):
    path = tmp_path / f"source.{kind}"
    Image.fromarray(random_image(1, np.uint8)).save(path, dpi=(300, 200))
    for name, source in (("path.tif", path), ("image.tif", Image.open(path))):
        fusionkit.fuse([source, source], **QUICK).save(tmp_path / name)
        found = read_picture(tmp_path / name).metadata.per_inch()
        assert found == pytest.approx((300, 200), abs=0.5), name


@pytest.mark.parametrize("dpi", [(0, 0), (1e300, 1), "300", (1, 2, 3), (float("nan"), 1)])
def test_a_resolution_that_is_none_is_left_out(dpi):
    image = Image.fromarray(random_image(1, np.uint8))
    image.info["dpi"] = dpi
    assert fusionkit.fuse([image, image], **QUICK).metadata.per_inch() is None


def test_images_keep_what_their_files_say():
    colour = random_image(1, np.uint8, 3)
    turned = Image.fromarray(colour)
    turned.getexif()[0x0112] = 6
    result = fusionkit.fuse([turned, np.rot90(colour, -1)], chroma="1", **QUICK)
    assert result.image.shape == (SIZE[1], SIZE[0], 3)
    palette = Image.fromarray(colour).quantize(64)
    same = fusionkit.fuse([palette, palette], objective={"strength": 0})
    assert np.abs(same.image.astype(int) - np.asarray(palette.convert("RGB"))).max() <= 1
    clear = Image.fromarray(colour).convert("RGBA")
    assert fusionkit.fuse([clear, clear], **QUICK).image.shape == (*SIZE, 4)


@pytest.mark.slow
def test_sources_of_no_use_are_named():
    good = random_image(1, np.uint8)
    with pytest.raises(UsageError, match=r"in one list: fuse\(\[a, b\]\)"):
        fusionkit.fuse("a.png", "b.png")
    with pytest.raises(UsageError, match="source 2: int"):
        fusionkit.fuse([good, 7])
    with pytest.raises(ImageError, match=r"source 2: .*'rb'"):
        fusionkit.fuse([good, io.StringIO("text")])
    at_end = io.BytesIO(encoded(good))
    at_end.seek(0, io.SEEK_END)
    with pytest.raises(ImageError, match=r"source 2: .*seek\(0\)"):
        fusionkit.fuse([good, at_end])
    with pytest.raises(ImageError, match="source 2: the file is empty"):
        fusionkit.fuse([good, b""])
    with pytest.raises(ImageError, match="empty name"):
        fusionkit.fuse([good, ""])


def test_what_is_no_list_of_sources_is_said():
    good = random_image(1, np.uint8)
    of_a_file = encoded(good)
    alone = [of_a_file, io.BytesIO(of_a_file), Image.fromarray(good), 7, None, np.array(3)]
    no_order = [{"near": good, "far": good}, {"a.png", "b.png"}]
    for sources in (*alone, *no_order):
        with pytest.raises(UsageError, match=r"no list of sources.*fuse\(\[a, b\]\)"):
            fusionkit.fuse(sources, **QUICK)
    pair = np.stack([good, good[::-1]])
    expected = fusionkit.fuse(list(pair), **QUICK).image
    assert (fusionkit.fuse((source for source in pair), **QUICK).image == expected).all()
    assert (fusionkit.fuse(pair, **QUICK).image == expected).all()


@pytest.mark.parametrize(
    "source",
    [
        torch.zeros(SIZE, dtype=torch.bfloat16),
        torch.zeros(SIZE).to_sparse(),
        torch.zeros(SIZE, device="meta"),
        [[0.0, 1.0], [0.5]],
        Image.new("LAB", SIZE[::-1]),
    ],
    ids=["bfloat16", "sparse", "meta", "ragged", "LAB"],
)
def test_what_cannot_be_read_is_refused_by_its_place(source):
    with pytest.raises(ImageError, match=r"^source 2: .") as refusal:
        fusionkit.fuse([random_image(1, np.float32), source], **QUICK)
    assert "\n" not in str(refusal.value)


def test_noise_that_is_not_found_is_said():
    rows, columns = np.mgrid[:64, :64]
    clean = [(100 + rows + k * columns).astype(np.uint8) for k in (0, 1)]
    with pytest.warns(FusionkitWarning, match="--noise auto: no source shows noise"):
        record = fusionkit.fuse(clean, noise=["auto"], **QUICK).record
    assert any("no source shows noise" in note for note in record["warnings"])
    noisy = np.random.default_rng(0).normal(clean[0], 12).round().clip(0, 255).astype(np.uint8)
    record = fusionkit.fuse([noisy, clean[1]], noise=["auto"], **QUICK).record
    assert record["preparations"]["noise"]["taken_off"][0] > 8
    assert record["warnings"] == []


def test_what_cannot_be_fused():
    good = random_image(1, np.uint8)
    with pytest.raises(UsageError, match="at least two"):
        fusionkit.fuse([good])
    with pytest.raises(UsageError, match="at least two"):
        fusionkit.fuse("image.png")
    with pytest.raises(ImageError, match="25"):
        fusionkit.fuse([good, good[:-1]])
    with pytest.raises(ImageError, match="source 2"):
        fusionkit.fuse([good, np.full(SIZE, np.nan, np.float32)])
    with pytest.raises(ImageError):
        fusionkit.fuse([good, np.zeros((2, 3, 4, 5), np.uint8)])


def test_a_narrow_source_warns():
    narrow = random_image(1, np.uint8) // 20
    with pytest.warns(FusionkitWarning, match="source 1"):
        fusionkit.fuse([narrow, random_image(2, np.uint8)], **QUICK)
    stretched = fusionkit.fuse(
        [narrow, random_image(2, np.uint8)],
        stretch=True,
        noise=["1:0", "2:0"],  # what is random looks noisy, which is another warning
        **QUICK,
    )
    assert stretched.record["warnings"] == []
    assert stretched.image.max() > 200


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (3, 3), (31, 17), (64, 64)])
def test_any_size_comes_back_uncropped(size):
    sources = [np.random.default_rng(s).random(size).astype(np.float32) for s in (1, 2)]
    for start_sigma in (80.0, 3.4):
        image = fusionkit.fuse(sources, start_sigma=start_sigma, steps=3).image
        assert image.shape == size
        assert np.isfinite(image).all()


@pytest.mark.slow
def test_up_to_six_sources_in_any_order_give_one_image():
    sources = [random_image(seed, np.uint8) for seed in range(6)]
    for count in range(2, 7):
        forth = fusionkit.fuse(sources[:count], steps=3).image.astype(int)
        back = fusionkit.fuse(sources[:count][::-1], steps=3).image.astype(int)
        assert np.abs(forth - back).max() <= 1
