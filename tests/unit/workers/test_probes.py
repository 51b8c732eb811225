"""Probe sets: latents and images that depend on the set alone."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rosetta.errors import InvalidRequest
from workers import probes
from workers.zoo.base import LatentSpace, Network, Preprocessing


def generator(**space):
    space = {"dimensions": 20, "height": 8, "width": 8, **space}
    return Network(nn.Identity(), ("x",), "digest", "gan", latents=LatentSpace(**space))


class TestLatents:
    @pytest.mark.parametrize("options", [{}, {"truncation": 0.5}])
    def test_any_split_gives_the_same_images(self, options):
        source = probes.GeneratorProbes(generator(classes=7), seed=3, count=30, **options)
        whole = source.latents(range(30))
        parts = [source.latents(indices) for indices in (range(4), range(4, 5), range(5, 30))]
        assert torch.equal(torch.cat([part.values for part in parts]), whole.values)
        assert torch.equal(torch.cat([part.classes for part in parts]), whole.classes)
        backwards = source.latents(range(29, -1, -1))
        assert torch.equal(backwards.values.flip(0), whole.values)

    def test_shapes_and_types(self):
        drawn = probes.GeneratorProbes(generator(), seed=0, count=5).latents(range(5))
        assert (drawn.values.shape, drawn.values.dtype, drawn.classes) == ((5, 20), torch.float32, None)
        drawn = probes.GeneratorProbes(generator(classes=7), seed=0, count=5).latents([])
        assert (drawn.values.shape, drawn.classes.shape, drawn.classes.dtype) == ((0, 20), (0,), torch.int64)

    def test_the_global_generator_plays_no_part(self):
        source = probes.GeneratorProbes(generator(), seed=0, count=5)
        torch.manual_seed(1)
        first = source.latents(range(5)).values
        torch.manual_seed(2)
        assert torch.equal(source.latents(range(5)).values, first)

    def test_seeds_and_images_differ(self):
        z = torch.cat(
            [probes.GeneratorProbes(generator(), seed=s, count=3).latents(range(3)).values for s in (0, 1, -1, 2**70)]
        )
        assert len(z.unique(dim=0)) == 12

    def test_they_are_normal(self):
        z = probes.GeneratorProbes(generator(dimensions=1000), seed=0, count=50).latents(range(50)).values
        assert abs(z.mean()) < 0.02
        assert abs(z.std() - 1) < 0.02
        assert z.abs().max() > 3

    @pytest.mark.parametrize("truncation", [1.0, 0.4])
    def test_truncated_they_are_the_normal_distribution_cut_at_two(self, truncation):
        source = probes.GeneratorProbes(generator(dimensions=1000), seed=0, count=50, truncation=truncation)
        drawn = source.latents(range(50))
        z = drawn.values
        assert drawn.truncation == truncation
        assert z.dtype == torch.float32
        assert z.abs().max() <= 2 * truncation
        assert z.abs().max() > 1.99 * truncation
        assert abs(z.std() / truncation - 0.8796) < 0.01  # of the normal distribution cut at +-2

    def test_a_class_is_everywhere_and_draws_the_same_z(self):
        one = probes.GeneratorProbes(generator(classes=7), seed=0, count=9, class_index=3)
        same = one.latents(range(9))
        assert same.classes.tolist() == [3] * 9
        drawn = probes.GeneratorProbes(generator(classes=7), seed=0, count=9).latents(range(9))
        assert torch.equal(drawn.values, same.values)
        assert len(drawn.classes.unique()) > 2

    def test_of_styles_the_truncation_does_not_cut_z(self):
        spaces = [generator(dimensions=1000), generator(dimensions=1000, styles=(4, 8))]
        plain, styled = (probes.GeneratorProbes(space, seed=0, count=5, truncation=0.5) for space in spaces)
        assert plain.latents(range(5)).values.abs().max() <= 1
        assert styled.latents(range(5)).values.abs().max() > 2
        assert styled.latents(range(5)).truncation == 0.5

    @pytest.mark.parametrize(
        ("space", "options", "message"),
        [
            ({}, {"truncation": 0.0}, "a truncation lies above 0 and up to 1: 0.0 does not"),
            ({}, {"truncation": 1.5}, "1.5 does not"),
            ({}, {"truncation": float("nan")}, "nan does not"),
            ({}, {"class_index": 0}, "has no classes: leave --class out"),
            ({"classes": 7}, {"class_index": 7}, "class 7 is none of this generator's: it has 0 to 6"),
            ({"classes": 7}, {"class_index": -1}, "class -1 is none"),
            ({}, {"count": 0}, "a probe set needs images: --count is 0"),
        ],
    )
    def test_what_a_generator_cannot_do_is_named(self, space, options, message):
        with pytest.raises(InvalidRequest, match=message):
            probes.GeneratorProbes(generator(**space), **{"seed": 0, "count": 3, **options})

    def test_a_network_without_latents_is_no_generator(self):
        network = Network(nn.Identity(), ("x",), "digest", "resnet")
        with pytest.raises(InvalidRequest, match="no generator"):
            probes.GeneratorProbes(network, seed=0, count=3)


def gradient(width=40, height=30):
    """Red rises to the right, green downwards, blue is 128."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], axis=2).round().astype(np.uint8))


def read(path, size=16):
    return probes.read_image(path, size).astype(int)


REFERENCE_TOLERANCE = {"jpg": 12, "webp": 12, "gif": 40}


class TestFiles:
    @pytest.fixture
    def expected(self, tmp_path):
        gradient().save(tmp_path / "reference.png")
        return read(tmp_path / "reference.png")

    def test_the_central_square(self, expected):
        assert expected.shape == (16, 16, 3)
        # 40x30: columns 5 to 35 remain.
        assert abs(expected[:, 0, 0].mean() - 255 * 5.5 / 40) < 4
        assert abs(expected[:, -1, 0].mean() - 255 * 34.5 / 40) < 4
        assert (expected[:, :, 2] == 128).all()

    @pytest.mark.parametrize("kind", ["bmp", "tiff", "jpg", "webp", "ppm", "tga", "gif"])
    def test_formats(self, tmp_path, expected, kind):
        gradient().save(tmp_path / f"image.{kind}")
        assert abs(read(tmp_path / f"image.{kind}") - expected).max() <= REFERENCE_TOLERANCE.get(kind, 0)

    @pytest.mark.parametrize("mode", ["RGBA", "RGBX", "CMYK", "YCbCr"])
    def test_modes_of_colour(self, tmp_path, expected, mode):
        gradient().convert(mode).save(tmp_path / "image.tiff")
        assert abs(read(tmp_path / "image.tiff") - expected).max() <= 4

    def test_cmyk_jpeg(self, tmp_path, expected):
        gradient().convert("CMYK").save(tmp_path / "image.jpg", quality=98)
        assert abs(read(tmp_path / "image.jpg") - expected).max() <= 12

    @pytest.mark.parametrize("mode", ["L", "1", "I;16", "I", "F"])
    def test_modes_of_grey(self, tmp_path, mode):
        ramp = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (32, 1))
        if mode == "1":
            image, ramp = Image.fromarray(ramp).convert("1", dither=Image.Dither.NONE), (ramp > 127) * 255
        elif mode == "F":
            image = Image.fromarray(ramp.astype(np.float32) / 255)
        elif mode == "L":
            image = Image.fromarray(ramp)
        else:
            image = Image.fromarray(ramp.astype({"I;16": np.uint16, "I": np.int32}[mode]) * 257)
        file = tmp_path / ("image.tiff" if mode in {"F", "I"} else "image.png")
        image.save(file)
        seen = read(file, 32)
        assert abs(seen - ramp[:, :, None]).max() <= 1
        assert (seen[..., 0] == seen[..., 2]).all()

    def test_floats_of_bytes(self, tmp_path):
        Image.fromarray(np.full((8, 8), 200, np.float32)).save(tmp_path / "image.tiff")
        assert (read(tmp_path / "image.tiff") == 200).all()

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB with a transparent colour"])
    def test_transparency_shows_white(self, tmp_path, mode):
        image = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
        image.paste((200, 0, 0, 255), (0, 0, 16, 8))
        if mode == "P":
            image = image.quantize(8)
            assert image.mode == "P"
            image.save(tmp_path / "image.png")
        elif mode.startswith("RGB "):
            image.convert("RGB").save(tmp_path / "image.png", transparency=(10, 20, 30))
        else:
            image.convert(mode).save(tmp_path / "image.png")
        seen = read(tmp_path / "image.png")
        assert (seen[-4:] == 255).all()
        assert (seen[:4] < 210).all()

    def test_a_palette(self, tmp_path):
        gradient().quantize(256).save(tmp_path / "image.png")
        gradient().save(tmp_path / "reference.png")
        assert abs(read(tmp_path / "image.png") - read(tmp_path / "reference.png")).mean() < 8

    @pytest.mark.parametrize("kind", ["gif", "webp", "png"])
    def test_of_an_animation_the_first_frame(self, tmp_path, kind):
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / f"image.{kind}", save_all=True, append_images=frames[1:], lossless=True)
        assert abs(read(tmp_path / f"image.{kind}") - [255, 0, 0]).max() <= 2

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_upright(self, tmp_path, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
        image = gradient(30, 30)
        stored = image if back is None else image.transpose(Image.Transpose(back))
        stored.save(tmp_path / "image.png", exif=exif)
        image.save(tmp_path / "reference.png")
        assert (read(tmp_path / "image.png") == read(tmp_path / "reference.png")).all()

    def test_large_and_long_images(self, tmp_path):
        gradient(2000, 1500).save(tmp_path / "large.jpg", quality=98)
        gradient(2000, 1500).save(tmp_path / "large.png")
        assert abs(read(tmp_path / "large.jpg", 32) - read(tmp_path / "large.png", 32)).max() <= 6
        gradient(20000, 1).save(tmp_path / "line.png")
        assert read(tmp_path / "line.png", 64).shape == (64, 64, 3)

    def test_more_pixels_than_allowed(self, tmp_path, monkeypatch):
        gradient().save(tmp_path / "huge.png")
        for limit in (1199, 100):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            with pytest.raises(InvalidRequest, match=f"'huge.png' has more pixels than the {limit} that are allowed"):
                read(tmp_path / "huge.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1200)
        read(tmp_path / "huge.png")

    @pytest.mark.parametrize("kind", ["png", "jpg", "gif", "webp", "tiff", "bmp"])
    def test_a_cut_file_is_named(self, tmp_path, kind):
        file = tmp_path / f"cut.{kind}"
        Image.effect_noise((64, 64), 90).convert("RGB").save(file)
        file.write_bytes(file.read_bytes()[:-800])
        with pytest.raises(InvalidRequest, match=f"'cut.{kind}' is (a broken image|not an image)") as caught:
            read(file)
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
    def test_what_is_no_image_is_named(self, tmp_path, content):
        (tmp_path / "page.png").write_bytes(content)
        with pytest.raises(InvalidRequest, match=r"'page.png' is (not an image that Pillow reads|a broken image)"):
            read(tmp_path / "page.png")

    def test_missing_and_folders(self, tmp_path):
        with pytest.raises(InvalidRequest, match=r"there is no image '.*nowhere.png'"):
            read(tmp_path / "nowhere.png")
        with pytest.raises(InvalidRequest, match="is a broken image"):
            read(tmp_path)


class TestBatches:
    @pytest.fixture
    def paths(self, tmp_path):
        paths = [tmp_path / f"{index}.png" for index in range(10)]
        for index, path in enumerate(paths):
            Image.new("RGB", (8, 8), (index, 0, 255)).save(path)
        return paths

    @pytest.mark.parametrize("batch", [1, 3, 10, 64])
    def test_any_split_and_order_gives_the_same_images(self, paths, batch):
        source = probes.ImageProbes(paths, size=8)
        order = torch.randperm(10)
        found = list(source.batches(split.tolist() for split in order.split(batch)))
        assert [index for indices, _ in found for index in indices] == order.tolist()
        images = torch.cat([images for _, images in found])[order.argsort()]
        assert torch.equal(images, source.images(range(10)))
        assert images.dtype == torch.float32
        assert torch.allclose(images[:, 0, 4, 4] * 255, torch.arange(10.0))
        assert (images[:, 2] == 1).all()

    def test_the_next_batch_is_read_ahead_and_no_more(self, paths, monkeypatch):
        asked, real = set(), probes.read_image
        ready = threading.Event()

        def reading(path, size):
            asked.add(path)
            if len(asked) == 4:
                ready.set()
            return real(path, size)

        monkeypatch.setattr(probes, "read_image", reading)
        batches = probes.ImageProbes(paths, size=8).batches([range(0, 2), range(2, 4), range(4, 6), range(6, 10)])
        next(batches)
        assert ready.wait(10)
        assert asked == set(paths[:4])
        batches.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("probes")]

    def test_a_broken_file_is_named_and_ends_it(self, paths):
        paths[5].write_bytes(b"hello")
        batches = probes.ImageProbes(paths, size=8).batches([range(0, 2), range(2, 4), range(4, 6), range(6, 10)])
        with pytest.raises(InvalidRequest, match=r"'5.png' is not an image"):
            list(batches)

    def test_no_images(self):
        with pytest.raises(InvalidRequest, match="a probe set needs images"):
            probes.ImageProbes([])

    def test_an_empty_batch(self, paths):
        assert probes.ImageProbes(paths, size=8).images([]).shape == (0, 3, 8, 8)


class TestPreprocess:
    MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)

    def test_normalised(self):
        images = torch.rand(2, 3, 8, 8)
        seen = probes.preprocess(images, Preprocessing(8, 8, self.MEAN, self.STD))
        expected = (images - torch.tensor(self.MEAN)[:, None, None]) / torch.tensor(self.STD)[:, None, None]
        assert torch.equal(seen, expected)

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_resized_with_antialiasing_and_without_overshoot(self, interpolation):
        stripes = torch.zeros(1, 3, 64, 64)
        stripes[..., ::2] = 1
        plain = Preprocessing(16, 8, (0, 0, 0), (1, 1, 1), interpolation)
        seen = probes.preprocess(stripes, plain)
        assert seen.shape == (1, 3, 16, 8)
        assert abs(seen[..., 1:-1] - 0.5).max() < 0.1  # not one column of eight
        edge = torch.zeros(1, 3, 8, 8)
        edge[..., 4:] = 1
        seen = probes.preprocess(edge, Preprocessing(32, 32, (0, 0, 0), (1, 1, 1), interpolation))
        assert (seen.min(), seen.max()) == (0, 1)
