"""Files that clients upload, and weights references: what a request may name lies below a weights folder."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from PIL import Image, UnidentifiedImageError

from rosetta.errors import InvalidRequest, NotFound, Unavailable
from service.settings import Settings

DIGEST = re.compile(r"[0-9a-f]{64}")
_FORGOTTEN_S = 86400.0  # what nobody finished, or asked about, in a day


def image_path(settings: Settings, digest: str) -> Path:
    """Where the probe image, or mask, of that sha256 lies, or would."""
    return settings.images_dir / digest[:2] / digest


def query_path(settings: Settings, digest: str) -> Path:
    """Where the image of that sha256 lies that is asked about, or would: no probe set needs it, and so it may go."""
    return settings.queries_dir / digest


def weights_path(settings: Settings, digest: str, filename: str) -> Path:
    """Where the uploaded weights of that sha256 and name lie, or would."""
    return settings.uploads_dir / digest / filename


def missing(settings: Settings, kind: Literal["weights", "images"], digests: Iterable[str]) -> list[str]:
    """Those of the digests that were not uploaded yet, in the order they came.

    Args:
        settings: say where uploads lie.
        kind: what the digests are of.
        digests: of images, their sha256; of weights, their references `<sha256>/<filename>`.

    Raises:
        InvalidRequest: when one is no digest.
    """
    if kind == "images":
        return [digest for digest in digests if not image_path(settings, check_digest(digest)).is_file()]
    return [reference for reference in digests if not _reference_path(settings, reference).is_file()]


def _reference_path(settings: Settings, reference: str) -> Path:
    digest, _, filename = reference.partition("/")
    return weights_path(settings, check_digest(digest), check_filename(filename))


def check_digest(digest: str) -> str:
    """The digest itself, when it is a sha256 in lower-case hexadecimal.

    Raises:
        InvalidRequest: when it is not.
    """
    if not DIGEST.fullmatch(digest):
        raise InvalidRequest(f"'{digest}' is not a sha256: 64 of 0-9 and a-f", digest=digest)
    return digest


def check_filename(filename: str) -> str:
    """The file name itself, when it is one plain name.

    Raises:
        InvalidRequest: when it is hidden, holds a separator or an unprintable character, or is too long.
    """
    plain = filename.isprintable() and not filename.startswith(".") and not set(filename) & set("/\\")
    if not filename or not plain or len(filename.encode()) > 200:
        raise InvalidRequest(
            f"{filename!r} is not a file name: one plain name of at most 200 bytes, without a leading '.'",
            filename=filename,
        )
    return filename


def uploaded_image(settings: Settings, digest: str) -> Path:
    """The uploaded image of that sha256: one that is asked about, which stays another day, or a probe image.

    Raises:
        InvalidRequest: when it is no digest.
        NotFound: when it was not sent, or nobody asked about it for a day.
    """
    path = query_path(settings, check_digest(digest))
    with suppress(OSError):
        os.utime(path)
        return path
    path = image_path(settings, digest)
    if not path.is_file():
        raise NotFound(f"there is no uploaded image {digest[:12]}: send it again, one is kept for a day", image=digest)
    return path


class Upload:
    """A file on its way in: written beside, checked, then moved to its place, or nothing stays of it."""

    def __init__(self, settings: Settings, digest: str, largest: int) -> None:
        self.digest = check_digest(digest)
        self._largest = largest
        self._folder = settings.data_dir / "incoming"
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._file: IO[bytes]

    def __enter__(self) -> Upload:
        with _disk_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=self.digest[:16])
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes.

        Raises:
            InvalidRequest: when the file grows beyond the largest allowed.
            Unavailable: when the disk is full.
        """
        self._size += len(chunk)
        if self._size > self._largest:
            raise too_large(self._largest)
        self._sha256.update(chunk)
        with _disk_errors():
            self._file.write(chunk)

    def finish(self, target: Path, *, image: bool = False, still: bool = False, name: str | None = None) -> int:
        """Moves the file to its place, and returns its size in bytes.

        Args:
            target: its place.
            image: whether it has to be an image that Pillow decodes.
            still: whether it has to be one that does not move.
            name: what errors call the image; None: its digest.

        Raises:
            InvalidRequest: when the bytes are not those of the digest, or no image where one is due.
            Unavailable: when the disk is full.
        """
        came = self._sha256.hexdigest()
        if came != self.digest:
            raise InvalidRequest(
                f"{self._size} bytes came whose sha256 is {came}, not {self.digest}: send the file again",
                expected=self.digest,
                got=came,
            )
        with _disk_errors():
            self._file.flush()
        if image:
            check_image(self._path, name or self.digest, still=still)
        with _disk_errors():
            os.fsync(self._file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path, target)
        return self._size


class TooLarge(InvalidRequest):
    """The request is larger than is allowed."""

    status = 413


def too_large(largest: int) -> TooLarge:
    """The error that an upload is larger than allowed."""
    return TooLarge(
        f"the file is larger than the {largest:,} bytes allowed (ROSETTA_MAX_WEIGHTS_BYTES, ROSETTA_MAX_IMAGE_BYTES)",
        largest=largest,
    )


def check_image(path: Path, name: str, *, still: bool = False) -> None:
    """Decodes an image file whole.

    Args:
        path: of the file.
        name: that errors say.
        still: whether an image of several pictures is refused.

    Raises:
        InvalidRequest: with the reason, when Pillow cannot, or the image has more pixels than is safe.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, with a clear line
            image = Image.open(path)
        with image:
            pixels, largest = image.width * image.height, Image.MAX_IMAGE_PIXELS or 0
            if pixels > largest:
                raise InvalidRequest(f"image {name} has {pixels:,} pixels: {largest:,} are allowed", image=name)
            if still:
                _check_still(image, name)
            image.load()
    except UnidentifiedImageError:
        raise InvalidRequest(f"image {name} is in no format that Pillow reads", image=name) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"image {name} is broken: {error}", image=name) from None


def check_still(path: Path, name: str) -> None:
    """Returns when an image, which was decoded when it was uploaded, is a single picture.

    Raises:
        InvalidRequest: when there are several in it.
    """
    with Image.open(path) as image:
        _check_still(image, name)


def _check_still(image: Image.Image, name: str) -> None:
    # Cameras put a preview beside the photograph (MPO).
    pictures = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if pictures > 1:
        raise InvalidRequest(f"image {name} has {pictures} pictures: send the one that is meant", image=name)


def resolve_weights(settings: Settings, reference: str, *, folders: bool = False) -> Path:
    """The weight file that a request names, such as `<sha256>/net.pt` or a path below a weights folder.

    Args:
        settings: say where weights folders are.
        reference: what the request names.
        folders: whether it may be a folder, such as zarr; a client sends files alone.

    Raises:
        InvalidRequest: when there is no such file, or it lies outside the weights folders.
    """
    mend = "upload it, or name a file below one of ROSETTA_WEIGHTS_DIRS"
    if folders:
        mend += "; a folder is uploaded as a .zip"
    if not reference or "\0" in reference or ".." in Path(reference).parts:
        raise InvalidRequest(f"weights {reference!r} is not a path below a weights folder: {mend}")
    for folder in settings.all_weights_dirs:
        root = folder.resolve()
        # An absolute reference replaces the root; links are followed before the place is checked.
        with suppress(OSError, RuntimeError):  # too long, unreadable, or links in a circle: no file either
            path = (root / reference).resolve()
            if path.is_relative_to(root) and (path.is_file() or (folders and path.is_dir())):
                return path
    raise InvalidRequest(f"weights '{reference}' is not a file below a weights folder: {mend}", weights=reference)


def forget_old(settings: Settings) -> None:
    """Deletes what uploads left that a killed service never finished, and images that nobody asked about for a day."""
    oldest = time.time() - _FORGOTTEN_S
    for folder in (settings.data_dir / "incoming", settings.queries_dir):
        for path in _files(folder):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if path.is_file())


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the service cannot store the file: {error.strerror}") from error
