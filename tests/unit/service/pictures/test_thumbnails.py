"""Files of thumbnails: written in any order, read one by one, whole or not there."""

import os

import numpy as np
import pytest

from service.pictures.thumbnails import MOST_PIXELS, MapsFile, Thumbnails
from service.settings import Settings

IMAGES, CHANNELS, GRID = 7, 5, (3, 4)


@pytest.fixture
def folder(tmp_path):
    return Thumbnails(Settings(data_dir=tmp_path, stored_maps_bytes=10_000))


def written(folder, key="key", channels=CHANNELS, seed=0):
    """A file that is full, and what is in it, float64 [N, C, h, w]."""
    rng = np.random.default_rng(seed)
    low, step = (rng.normal(size=(IMAGES, channels)).astype(np.float32) for _ in range(2))
    levels = rng.integers(0, 256, (IMAGES, *GRID, channels), np.uint8)
    file = MapsFile(folder.maps_path(key), IMAGES, channels, GRID)
    for positions in np.array_split(rng.permutation(IMAGES), 3):
        file.write(positions, low[positions], step[positions], levels[positions])
    values = low[:, None, None].astype(float) + step[:, None, None].astype(float) * levels
    return file, values.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels", [1, CHANNELS])
def test_maps_come_back_one_by_one(folder, channels):
    file, values = written(folder, channels=channels)
    file.publish()
    for position in range(IMAGES):
        for channel in range(channels):
            found = folder.read_map("key", position, channel)
            assert found.dtype == np.float32
            assert found == pytest.approx(values[position, channel], rel=1e-6, abs=1e-4)
    path = folder.maps_path("key")
    assert file.bytes < path.stat().st_size < file.bytes + 1_000
    assert file.bytes == IMAGES * channels * (8 + GRID[0] * GRID[1])


def test_a_file_is_not_there_before_it_is_published_and_a_new_one_takes_its_place(folder):
    file, _ = written(folder)
    assert folder.read_map("key", 0, 0) is None
    file.publish()
    file.abandon()
    other, values = written(folder, seed=1)
    other.publish()
    assert folder.read_map("key", 2, 1) == pytest.approx(values[2, 1], rel=1e-6, abs=1e-4)
    lost, _ = written(folder, "lost")
    lost.abandon()
    assert [path.name for path in folder.folder.rglob("*") if path.is_file()] == ["key.npy"]


def test_a_file_that_nothing_was_written_to_leaves_nothing(folder):
    MapsFile(folder.maps_path("key"), IMAGES, CHANNELS, GRID).abandon()
    assert not folder.folder.exists()


def test_images_are_small(folder):
    rows, columns = np.mgrid[0:600, 0:300]
    pixels = np.stack([rows * 255 // 600, columns * 255 // 300, rows * 0 + 90], -1).astype(np.uint8)
    folder.write_image("ab" * 32, 3, pixels)
    found = folder.read_image("ab" * 32, 3)
    assert found.shape == (MOST_PIXELS, MOST_PIXELS // 2, 3)
    inner = pixels[300, 150].astype(int)
    assert found[128, 64].astype(int) == pytest.approx(inner, abs=8)
    folder.write_image("ab" * 32, 4, pixels[:20, :30])
    assert folder.read_image("ab" * 32, 4).shape == (20, 30, 3)
    assert folder.read_image("ab" * 32, 5) is None


def test_the_least_recently_read_go_first(folder):
    for number in range(3):
        written(folder, f"{number}")[0].publish()
        os.utime(folder.maps_path(f"{number}"), (1_000 + number, 1_000 + number))
    folder.limit = 2 * folder.maps_path("0").stat().st_size
    folder.read_map("0", 0, 0)
    assert folder.trim() == 1
    assert [folder.maps_path(f"{number}").exists() for number in range(3)] == [True, False, True]
