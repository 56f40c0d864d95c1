"""Reading and writing images, value ranges, and the way colour goes through a fusion."""

from fusionkit.imaging._encode import FORMATS
from fusionkit.imaging._pillow import holds_temperatures
from fusionkit.imaging._sniff import EXTENSIONS, SUPPORTED
from fusionkit.imaging.alpha import common_alpha
from fusionkit.imaging.chroma import chroma_offset
from fusionkit.imaging.colour import CHROMA_RULES, ColourPlan, plan_colour
from fusionkit.imaging.files import atomic_write, check_destination, write_text
from fusionkit.imaging.geometry import check_same_size, on_one_grid, orientation_notes
from fusionkit.imaging.grid import Grid, check_comparable, grid_of, sampled
from fusionkit.imaging.luma import Lumas, luma_of
from fusionkit.imaging.making import picture_from_array
from fusionkit.imaging.masks import filled, left_to_one, shown_by
from fusionkit.imaging.metadata import (
    NO_METADATA,
    Metadata,
    by_spacing,
    from_exif,
    resolution_of,
)
from fusionkit.imaging.noise import LEAST_NOISE, estimated_noise, noise_note, seen_noise
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.planes import planes_left_to_one, planes_of
from fusionkit.imaging.profiles import in_one_profile
from fusionkit.imaging.read import DEFAULT_MAX_PIXELS, read_picture
from fusionkit.imaging.values import (
    DEPTHS,
    OutputFormat,
    bands,
    from_unit,
    full_scale,
    output_format,
    parse_bounds,
    parse_range,
    value_ranges,
)
from fusionkit.imaging.volume import Volume, axes_of, values_on_disk
from fusionkit.imaging.write import (
    check_fits,
    check_output,
    encode_picture,
    held,
    is_written,
    write_picture,
    written,
)

__all__ = [
    "CHROMA_RULES",
    "DEFAULT_MAX_PIXELS",
    "DEPTHS",
    "EXTENSIONS",
    "FORMATS",
    "LEAST_NOISE",
    "NO_METADATA",
    "SUPPORTED",
    "ColourPlan",
    "Grid",
    "Lumas",
    "Metadata",
    "OutputFormat",
    "Picture",
    "Volume",
    "atomic_write",
    "axes_of",
    "bands",
    "by_spacing",
    "check_comparable",
    "check_destination",
    "check_fits",
    "check_output",
    "check_same_size",
    "chroma_offset",
    "common_alpha",
    "encode_picture",
    "estimated_noise",
    "filled",
    "from_exif",
    "from_unit",
    "full_scale",
    "grid_of",
    "held",
    "holds_temperatures",
    "in_one_profile",
    "is_written",
    "left_to_one",
    "luma_of",
    "noise_note",
    "on_one_grid",
    "orientation_notes",
    "output_format",
    "parse_bounds",
    "parse_range",
    "picture_from_array",
    "plan_colour",
    "planes_left_to_one",
    "planes_of",
    "read_picture",
    "resolution_of",
    "sampled",
    "seen_noise",
    "shown_by",
    "value_ranges",
    "values_on_disk",
    "write_picture",
    "write_text",
    "written",
]
