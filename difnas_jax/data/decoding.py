"""From stored images of any format and mode that Pillow reads to 8-bit pixels.

What is decided here, for the sources and for `prepare` alike:

- 16-bit grey levels are scaled by their range, x / 257, rounded. Pillow clips them, so
  that nearly all become white. Pixels of unknown range are refused: floating-point
  numbers, 32-bit and signed integers. Of 16-bit colours Pillow keeps the upper byte.
- Transparency is left out: a pixel has its colour as it is stored, also where it is
  not opaque, in an alpha channel, a palette or the tRNS chunk of a PNG file.
- Of several frames the first one counts.
- The EXIF orientation is followed, as viewers do. torchvision's `ImageFolder` and
  TensorFlow ignore it.
"""

import functools
import io
import struct

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from difnas_jax.data.base import StoredImage
from difnas_jax.runtime.files import DAMAGE

# What Pillow raises where the bytes are no image, or only part of one.
CORRUPT = (*DAMAGE, SyntaxError, IndexError, struct.error, Image.DecompressionBombError)
# Number of channels -> mode of Pillow.
MODES = {1: "L", 3: "RGB"}
# Left, upper, right, lower; fractions of pixels count.
Box = tuple[float, float, float, float]

# Formats that Pillow only knows by name: their pixels need another program or system.
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
GREY = {"1", "L", "LA", "La", "F"}
# Modes that Pillow does not bring to both modes of `MODES`, or not without a warning
# -> a mode between them.
BETWEEN = {"P": "RGBA", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "LAB": "RGB"}
# (format, mode) of which Pillow promises levels from 0 to 65535.
SIXTEEN_BITS = {
    ("PNG", "I"),
    ("PNG", "I;16"),
    ("PPM", "I"),
    ("TIFF", "I;16"),
    ("TIFF", "I;16B"),
    ("JPEG2000", "I;16"),
}
# EXIF orientation -> what turns the image upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow warns above this many pixels and refuses twice as many, as a file of some
# kilobytes can claim to hold them. Its limit of 89 million is below that of cameras and
# scanners of today; a colour image of this size takes 1.5 GB.
Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, 2**29)


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that are read."""
    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_DECODED)


@functools.cache
def suffixes() -> dict[str, str]:
    """Suffix in lower case, sorted -> name of its format, of those that are read."""
    # MPO is what cameras write and Pillow opens as JPEG.
    named, read = Image.registered_extensions(), {*formats(), "MPO"}
    return {suffix: named[suffix] for suffix in sorted(named) if named[suffix] in read}


def is_grey(image: Image.Image) -> bool:
    """Whether the image has no colours; of a palette, whether it holds none."""
    if image.mode in ("P", "PA"):
        colours = np.reshape(image.getpalette("RGB") or [], (-1, 3))
        return bool((colours == colours[:, :1]).all())
    return image.mode in GREY or image.mode.startswith("I")


def opened(stored: StoredImage | Image.Image) -> Image.Image:
    """The image; one that Pillow has opened is that.

    A JPEG file is decoded when its pixels are needed, since it can be decoded small.

    Raises:
      One of `CORRUPT`: the bytes are no image that is read.
    """
    if isinstance(stored, Image.Image):
        return stored
    if not isinstance(stored, bytes):
        return Image.fromarray(stored[..., 0] if stored.shape[-1] == 1 else stored)
    try:
        image = Image.open(io.BytesIO(stored), formats=formats())
    except UnidentifiedImageError:  # it names a place in memory
        text = "it is empty" if not stored else "it has no format that is read"
        raise UnidentifiedImageError(text) from None
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        image.load()  # which finds tags behind the pixels, and turns a TIFF upright
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after the EXIF orientation."""
    width, height = image.size
    return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)


def _orientation(image: Image.Image) -> int:
    """Of EXIF; 1, upright, where there is none or it is damaged."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except CORRUPT:
        return 1


def holds_colours(image: Image.Image) -> bool:
    """Whether grey levels would lose colours.

    Formats without grey levels, such as WebP, store them as three channels, which are
    equal up to rounding.
    """
    if is_grey(image):
        return False
    pixels = np.asarray(image.convert("RGB"), np.int16)  # [H, W, 3]
    return bool(np.ptp(pixels, axis=-1).max() > 1)


def check_colours(image: Image.Image, mode: str) -> None:
    """Raise `ValueError` where colours would be lost."""
    if mode == "L" and holds_colours(image):
        raise ValueError("it has colours, grey is expected")


def converted(image: Image.Image, mode: str) -> Image.Image:
    """The image with 8-bit pixels in a mode, and upright.

    Args:
      image: of any mode.
      mode: `L` or `RGB`.

    Raises:
      ValueError: pixels of unknown range, or colours where grey is wanted.
    """
    check_colours(image, mode)
    turn = TURNS.get(_orientation(image))
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scaled(image)
    for step in (BETWEEN.get(image.mode, image.mode), mode):
        if image.mode != step:
            image = image.convert(step)
    return image if turn is None else image.transpose(turn)


def _scaled(image: Image.Image) -> Image.Image:
    """16-bit levels as 8-bit ones."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))
    if (image.format, image.mode) not in SIXTEEN_BITS or bits != (16,):
        raise ValueError(
            f"the range of its pixels, of mode {image.mode}, is not known; store 8 or "
            "16 bits without a sign"
        )
    levels = np.asarray(image).astype(np.uint32)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # white is zero
        levels = 65535 - levels  # as Pillow does at 8 bits
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def resized(image: Image.Image, box: Box, size: int, mode: str) -> Image.Image:
    """A part of an image as a square, bilinear.

    Pillow's filter grows with the scale, so that nothing aliases. Differs from BN-NAS,
    whose OpenCV takes the four nearest pixels at any scale.

    Args:
      image: of any size and mode.
      box: the part, in pixels of the upright image.
      size: side of the square.
      mode: `L` or `RGB`.

    Raises:
      One of `CORRUPT`: see `converted`, or the file is cut short.
    """
    width, height = upright_size(image)
    shrink = min(box[2] - box[0], box[3] - box[1]) / size
    if shrink >= 2:  # a JPEG decodes at 1/2, 1/4 or 1/8 in a fraction of the time
        image.draft(None, (int(image.width / shrink), int(image.height / shrink)))
    image = converted(image, mode)
    across, down = image.width / width, image.height / height
    left, upper = max(box[0] * across, 0), max(box[1] * down, 0)
    # Rounding must not leave the image.
    right, lower = min(box[2] * across, image.width), min(box[3] * down, image.height)
    return image.resize(
        (size, size), Image.Resampling.BILINEAR, (left, upper, right, lower)
    )
