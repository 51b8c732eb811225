"""Files of pictures: what is written is read, whole; the least recently used ones go."""

import os
import threading
import time

import numpy as np
import pytest

from service.pictures.cache import Cache, maps_key
from service.settings import Settings


@pytest.fixture
def cache(tmp_path):
    return Cache(Settings(data_dir=tmp_path, pictures_bytes=10_000))


def add(cache, name, size, used):
    path = cache.folder / "maps" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


def names(cache):
    return {path.name for path in cache.folder.rglob("*") if path.is_file()}


def test_maps_come_back_in_half_precision_whatever_their_size(cache):
    maps = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    maps *= np.array([1e-8, 1, 1e6, 0], np.float32)[:, None, None]  # beyond what float16 holds, and nothing at all
    path = cache.maps_path("key", 3)
    cache.write_maps(path, maps)
    for channel in range(4):
        found = cache.read_map(path, channel)
        assert found.dtype == np.float32
        assert np.abs(found - maps[channel]).max() <= 6e-4 * np.abs(maps[channel]).max()


def test_images_come_back_as_they_are(cache):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    path = cache.image_path("ab" * 32, 12)
    cache.write_image(path, pixels)
    assert (cache.read_image(path) == pixels).all()


def test_what_is_not_there_is_none(cache):
    assert cache.read_map(cache.maps_path("key", 0), 0) is None
    assert cache.read_image(cache.image_path("ab", 0)) is None
    assert cache.trim() == 0


def test_the_least_recently_used_go_until_the_others_fit(cache):
    for number in range(5):
        add(cache, f"{number}", 3_000, 1_000 + number)
    assert cache.trim() == 2
    assert names(cache) == {"2", "3", "4"}
    assert cache.trim() == 0


def test_reading_is_using(cache):
    maps = np.ones((1, 40, 40), np.float32)
    paths = [cache.maps_path("key", number) for number in range(4)]
    for number, path in enumerate(paths):
        cache.write_maps(path, maps)
        os.utime(path, (1_000 + number, 1_000 + number))
    cache.limit = 3 * paths[0].stat().st_size
    cache.read_map(paths[0], 0)
    assert cache.trim() == 1
    assert [path.exists() for path in paths] == [True, False, True, True]


def test_what_was_made_just_now_stays_whatever_it_takes(cache):
    old, new = add(cache, "old", 9_000, 1_000), add(cache, "new", 20_000, 500)
    assert cache.trim(keep={new}) == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_unfinished_files_stay_until_they_are_old(cache):
    add(cache, "dead.part", 10, 1_000)
    add(cache, "at-work.part", 90_000, time.time())
    cache.trim()
    assert names(cache) == {"at-work.part"}


def test_a_file_is_never_seen_half_written(cache):
    path, stop, found = cache.maps_path("key", 0), threading.Event(), []

    def read():
        while not stop.is_set():
            values = cache.read_map(path, 1)
            if values is not None:
                found.append((float(values.min()), float(values.max())))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 60):
        cache.write_maps(path, np.full((2, 64, 64), number, np.float32))
    stop.set()
    thread.join()
    assert found
    assert all(low == high for low, high in found)
    assert not list(cache.folder.rglob("*.part"))


def test_a_failed_write_leaves_nothing(cache, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="disk full"):
        cache.write_maps(cache.maps_path("key", 0), np.zeros((1, 2, 2), np.float32))
    assert names(cache) == set()


def test_keys_tell_apart_what_differs():
    first = ("probe", "timm:resnet18?size=224", "digest", "layer1")
    others = [(*first[:place], "other", *first[place + 1 :]) for place in range(4)]
    assert len({maps_key(*each) for each in (first, *others)}) == 5
    assert maps_key(*first) == maps_key(*first)
