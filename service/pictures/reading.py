"""Reading images: any file that Pillow opens, as the canonical square of a probe set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rosetta.errors import InvalidRequest

# Transparent parts show what they would on a page.
_BACKGROUND = (255, 255, 255)


def read_image(path: Path, size: int, *, whole: bool = False) -> npt.NDArray[np.uint8]:
    """The canonical image in a file: uint8 [S, S, 3].

    Upright (EXIF), RGB, transparency on white, of an animation the first frame, 16 bits a channel scaled to 8; the
    central square, resized bicubically with antialiasing.

    Args:
        path: of the file.
        size: S, pixels.
        whole: not its square, but all of it, the longer side S: uint8 [H, W, 3].

    Raises:
        InvalidRequest: when the file is no image, cut short, or of more pixels than Pillow's limit; names it.
    """
    try:
        with Image.open(path) as image:
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.width}x{image.height}")
            # JPEG decodes straight to a smaller size, still twice what is kept.
            image.draft("RGB", (2 * size, 2 * size))
            return np.asarray((_whole if whole else _square)(_rgb(ImageOps.exif_transpose(image)), size))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidRequest(
            f"'{path.name}' has more pixels than the {Image.MAX_IMAGE_PIXELS} that are allowed: make it smaller",
            file=str(path),
        ) from error
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no image '{path}'", file=str(path)) from error
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"'{path.name}' is not an image that Pillow reads", file=str(path)) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidRequest(f"'{path.name}' is a broken image ({reason})", file=str(path)) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, _BACKGROUND)
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of integers up to 65535, or of floats up to 1 or 255, in 8 bits: Pillow itself would clip it."""
    values = np.asarray(image, dtype=np.float64)
    top = (1.0 if values.max(initial=0) <= 1 else 255.0) if image.mode == "F" else 65535.0
    return Image.fromarray((np.nan_to_num(values) / top * 255).round().clip(0, 255).astype(np.uint8))


def _square(image: Image.Image, size: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _whole(image: Image.Image, size: int) -> Image.Image:
    longer = max(image.size)
    shape = (max(1, round(image.width * size / longer)), max(1, round(image.height * size / longer)))
    return image.resize(shape, Image.Resampling.BICUBIC)
