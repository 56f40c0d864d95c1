"""PNG, through libpng, which keeps 16 bits in every colour type."""

from __future__ import annotations

import struct
import zlib

from fusionkit.imaging._raw import Raw
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import split_alpha
from fusionkit.imaging.metadata import Metadata, from_exif, resolution_of
from fusionkit.imaging.profiles import SRGB_PRIMARIES, profile_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ESSENTIAL = ("IHDR", "PLTE", "tRNS", "IDAT", "IEND")
_PALETTE = 3
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_MOST_A_BYTE = 1032  # Deflate gives no more bytes for one
_PARTS, _SRGB_GAMMA = 100_000, 1 / 2.2  # of gAMA and cHRM; what sRGB's is said to be there
_CICP_SRGB = b"\x01\x0d"
_MAX_PROFILE = 16 * 2**20  # a compressed profile may expand without bound


def decode_png(raw: Raw) -> Decoded:
    """Decode any PNG; low depths come as full-scale uint8, palettes as RGB, tRNS as alpha."""
    import imagecodecs

    chunks, essential = _chunks(raw)
    width, height, bits, colour_type = struct.unpack(">IIBB", chunks["IHDR"][:10])
    raw.check_size(width, height)
    stored = height * ((width * bits * _SAMPLES.get(colour_type, 1) + 7) // 8)
    if stored > len(essential) * _MOST_A_BYTE:
        raise raw.damaged("PNG", f"it is too short for {width}x{height} pixels")
    if "acTL" in chunks and int.from_bytes(chunks["acTL"][:4], "big") > 1:
        raise raw.error("this PNG is an animation: save the one frame you mean")
    if colour_type == _PALETTE:
        _check_palette(raw, chunks, essential, bits)
    samples = imagecodecs.png_decode(essential)
    pixels, alpha = split_alpha(samples)
    notes: tuple[str, ...] = ()
    if "iCCP" not in chunks and chunks.get("cICP", _CICP_SRGB)[:2] != _CICP_SRGB:
        notes = ("the colours that its cICP chunk describes are taken for those of sRGB",)
    icc = _described(chunks, 1 if pixels.ndim == 2 else 3)
    return Decoded(pixels, alpha, icc, notes, metadata=_metadata(chunks))


def _chunks(raw: Raw) -> tuple[dict[str, bytes], bytes]:
    """Walk the whole chunk list, which also shows a file that was cut or altered.

    Returns the first chunk of each kind but IDAT, and a PNG of the chunks that make the pixels
    only: libpng prints warnings about odd ones among the others.
    """
    chunks: dict[str, bytes] = {}
    essential = [SIGNATURE]
    at = len(SIGNATURE)
    while "IEND" not in chunks:
        if at + 12 > len(raw.data):
            raise raw.damaged("PNG")
        (length,) = struct.unpack_from(">I", raw.data, at)
        end = at + 12 + length
        if end > len(raw.data):
            raise raw.damaged("PNG")
        chunk = raw.data[at:end]
        kind = chunk[4:8].decode("latin-1")
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise raw.damaged("PNG", f"the checksum of its {kind!r} chunk is wrong")
        if kind != "IDAT":
            chunks.setdefault(kind, chunk[8:-4])
        if kind == "tRNS":
            chunk = _transparency(raw, chunks, chunk, late=essential[-1][4:8] == b"IDAT")
        if kind in _ESSENTIAL:
            essential.append(chunk)
        at = end
    if len(chunks.get("IHDR", b"")) != 13:
        raise raw.damaged("PNG", "it has no header chunk")
    return chunks, b"".join(essential)


def _transparency(raw: Raw, chunks: dict[str, bytes], chunk: bytes, late: bool) -> bytes:
    """Return a tRNS chunk as libpng takes it, which leaves out any other without a word.

    What it says of colours that the palette lacks is left out. ``late`` is one behind pixels.

    Raises
    ------
    ImageError
        It is out of place (PNG 3, 5.6), or of another length than that of a colour.
    """
    colour_type = chunks.get("IHDR", bytes(10))[9]
    palette = len(chunks.get("PLTE", b"")) // 3
    wanted = {0: 2, 2: 6, _PALETTE: min(palette, len(chunk) - 12)}.get(colour_type)
    if wanted is None:  # there is alpha, or no such type
        return chunk
    if late or (colour_type == _PALETTE and not palette):
        raise raw.damaged("PNG", "its tRNS chunk is out of place")
    if colour_type == _PALETTE:
        return _chunk(b"tRNS", chunk[8 : 8 + wanted])
    if len(chunk) - 12 != wanted:
        raise raw.damaged("PNG", f"its tRNS chunk has {len(chunk) - 12} bytes, not {wanted}")
    return chunk


def _check_palette(raw: Raw, chunks: dict[str, bytes], essential: bytes, bits: int) -> None:
    """Refuse pixels of colours that the palette lacks, which libpng makes black."""
    import imagecodecs

    palette = len(chunks.get("PLTE", b"")) // 3
    if not palette:
        raise raw.damaged("PNG", "it has no palette")
    if palette >= 2**bits:
        return
    header = chunks["IHDR"]
    grey = SIGNATURE + _chunk(b"IHDR", header[:9] + b"\0" + header[10:])
    levels, _ = split_alpha(imagecodecs.png_decode(grey + essential[len(grey) :]))
    if levels.max() // (255 // (2**bits - 1)) >= palette:
        raise raw.damaged("PNG", f"its pixels name more colours than the {palette} of its palette")


def _metadata(chunks: dict[str, bytes]) -> Metadata:
    resolution = None
    if len(chunks.get("pHYs", b"")) == 9:
        x, y, unit = struct.unpack(">IIB", chunks["pHYs"])
        resolution = resolution_of(x, y, metric=True, divided_by=100) if unit == 1 else None
    return from_exif(chunks.get("eXIf"), resolution)


def _described(chunks: dict[str, bytes], channels: int) -> bytes | None:
    """Return the profile in the file, or that of its gamma and primaries; None if that is sRGB's.

    PNG 3, 11.3.2: iCCP counts before sRGB, and that before gAMA and cHRM.
    """
    if "iCCP" in chunks:
        return _profile(chunks["iCCP"])
    if "sRGB" in chunks or "cICP" in chunks:
        return None
    gamma, primaries = _SRGB_GAMMA, SRGB_PRIMARIES
    if len(chunks.get("gAMA", b"")) == 4:
        said = int.from_bytes(chunks["gAMA"], "big") / _PARTS
        gamma = said if 0.1 <= said <= 10 else gamma  # beyond that nothing could be seen
    if len(chunks.get("cHRM", b"")) == 32 and channels == 3:
        primaries = tuple(part / _PARTS for part in struct.unpack(">8I", chunks["cHRM"]))
    near = all(abs(a - b) <= 0.01 for a, b in zip(primaries, SRGB_PRIMARIES, strict=True))
    if near and abs(gamma / _SRGB_GAMMA - 1) <= 0.05:
        return None
    return profile_of(channels, 1 / gamma, primaries)


def _profile(chunk: bytes) -> bytes:
    """Unpack an iCCP chunk: name, 0, compression method, zlib stream."""
    _, _, packed = chunk.partition(b"\0")
    unpacker = zlib.decompressobj()
    profile = unpacker.decompress(packed[1:], _MAX_PROFILE)
    if not unpacker.eof:
        raise ValueError("the colour profile does not unpack")
    return profile


def with_chunks(png: bytes, icc: bytes | None, metadata: Metadata) -> bytes:
    """Put a profile and metadata behind the header of an encoded PNG, before any image data."""
    chunks = b""
    if icc:
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc, 9))
    block, resolution = metadata.block(), metadata.per_inch()
    if block:
        chunks += _chunk(b"eXIf", block)
    if resolution:
        x, y = (round(side / 0.0254) for side in resolution)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    after_header = len(SIGNATURE) + 12 + 13
    return png[:after_header] + chunks + png[after_header:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check
