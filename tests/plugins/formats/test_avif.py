"""AVIF, written by Pillow and by imagecodecs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fusionkit_formats import avif, is_avif, is_heif
from PIL import Image, ImageCms, features

from fusionkit import Decoded, ImageError
from fusionkit.imaging import encode_picture, read_picture
from tests.plugins.formats.test_formats import PHOTO

imagecodecs = pytest.importorskip("imagecodecs")
pytestmark = pytest.mark.skipif(
    not (imagecodecs.AVIF.available and features.check("avif")), reason="without libavif"
)


def test_profile_orientation_and_metadata_are_those_of_the_file() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    file = BytesIO()
    Image.fromarray(PHOTO).save(
        file, "AVIF", quality=100, subsampling="4:4:4", icc_profile=icc, exif=exif
    )
    found = avif.decode(file.getvalue(), "")
    assert found.icc == icc
    assert found.metadata.orientation == 6
    assert "Make" in found.metadata.names
    assert np.abs(found.pixels.astype(int) - PHOTO).max() <= 3


@pytest.mark.parametrize("bits", [10, 12])
def test_more_than_eight_bits_stay_those(tmp_path: Path, bits: int) -> None:
    values = (np.arange(64 * 80 * 4).reshape(64, 80, 4) % 2**bits).astype(np.uint16)
    values[:32, :, 3] = 2**bits - 1
    values[32:, :, 3] = 0
    path = tmp_path / "a.avif"
    path.write_bytes(imagecodecs.avif_encode(values, level=100, bitspersample=bits))
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, values[..., :3])
    assert (picture.low, picture.high) == (0, 2**bits - 1)
    assert picture.alpha is not None
    assert (picture.alpha[:32] == 65535).all()
    assert (picture.alpha[32:] == 0).all()


def test_alpha_that_hides_nothing_is_not_written() -> None:
    opaque = np.full_like(PHOTO[..., 0], 255)
    assert encode_picture("o.avif", PHOTO, opaque) == encode_picture("o.avif", PHOTO)


@pytest.mark.parametrize("alpha", [None, PHOTO[..., 2]])
@pytest.mark.parametrize("pixels", [PHOTO, PHOTO[..., 0]])
def test_what_is_written_is_read_again_without_loss(
    pixels: np.ndarray, alpha: np.ndarray | None
) -> None:
    whole = encode_picture("o.avif", pixels, alpha)
    assert whole == encode_picture("o.avif", pixels, alpha)
    back = avif.decode(whole, "")
    if alpha is not None:  # grey with alpha is three equal channels
        pixels = pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)
        assert np.array_equal(back.alpha, alpha)
    assert np.array_equal(back.pixels, pixels)
    with Image.open(BytesIO(whole)) as image:  # another decoder finds the same
        shown = np.asarray(image.convert("RGBA"))[..., :3]
    expected = pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)
    assert np.abs(shown.astype(int) - expected).max() <= 1


def test_what_it_cannot_hold_and_what_is_not_read() -> None:
    with pytest.raises(ImageError, match=r"avif cannot hold uint16 values: give --depth 8"):
        encode_picture("o.avif", PHOTO.astype(np.uint16))
    file = BytesIO()
    frames = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="holds 2 frames"):
        avif.decode(file.getvalue(), "")
    whole = avif.encode(Decoded(PHOTO), "o.avif")
    at = whole.index(b"colrnclx") + 8
    light = whole[:at] + bytes([0, 9, 0, 16]) + whole[at + 4 :]
    with pytest.raises(ValueError, match="its values are PQ, of HDR"):
        avif.decode(light, "")
    wide = whole[:at] + bytes([0, 9, 0, 13]) + whole[at + 4 :]
    assert any("taken for sRGB" in note for note in avif.decode(wide, "").notes)


def test_it_is_told_from_heif() -> None:
    head = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"
    assert is_avif(head, "a")
    assert not is_heif(head, "a")
    assert is_heif(head.replace(b"avif", b"heic"), "a")
