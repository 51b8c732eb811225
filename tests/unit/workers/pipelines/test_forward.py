"""Forward passes: every network once an image, and batches that memory does not suffice for."""

import pytest
import torch
from PIL import Image
from torch import nn

from workers.pipelines.forward import ForwardPasses
from workers.probes import GeneratorProbes, ImageProbes
from workers.zoo.base import LatentSpace, Network, Preprocessing, Recording

CPU = torch.device("cpu")
HALF = (0.5, 0.5, 0.5)


class Scarce(nn.Module):
    """Runs at most `most` images at once."""

    def __init__(self, channels, most, error=torch.OutOfMemoryError):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.tail = nn.Conv2d(4, 5, 1)
        self.most, self.error, self.sizes = most, error, []

    def forward(self, x):
        found = self.conv(x)  # recorded before memory runs out
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error("CUDA out of memory")
        return self.tail(found)


def discriminator(module):
    return Network(module, ("conv", "tail"), "digest", "tiny", preprocessing=Preprocessing(8, 8, HALF, HALF))


def generator(module):
    return Network(
        module,
        ("conv", "tail"),
        "digest",
        "gan",
        latents=LatentSpace(3 * 64, 8, 8),
        images=lambda output: output[:, :3].sigmoid(),
        inputs=lambda latents: (latents.values.unflatten(1, (3, 8, 8)),),
    )


class Recorded(nn.Module):
    """Two layers whose rows are known."""

    def __init__(self):
        super().__init__()
        self.conv, self.tail = nn.Identity(), nn.Identity()

    def forward(self, positions):
        assert positions.dtype == torch.int64
        self.conv(positions[:, None].float())
        self.tail((positions[:, None, None, None] + torch.arange(6).view(1, 1, 2, 3)).float())


def recording():
    return Network(Recorded(), ("conv", "tail"), "digest", "recording", recording=Recording(11, "faces"))


@pytest.fixture
def images(tmp_path):
    for number in range(11):
        Image.effect_noise((8, 8), 10 + number).convert("RGB").save(tmp_path / f"{number:02}.png")
    return ImageProbes(sorted(tmp_path.glob("*.png")), size=8)


def collect(probes, networks, batch):
    """{(model, layer): maps by position} as a consumer that copies at once sees them, and the sizes of the batches."""
    written, kept, sizes = {}, {}, []
    passes = ForwardPasses(probes, networks, dict.fromkeys(networks, ("conv", "tail")), CPU)
    order = torch.randperm(probes.count, generator=torch.Generator().manual_seed(0))
    for positions in passes.run(
        order.split(batch), list(networks), lambda *found: written.update({found[:2]: found[2].clone()})
    ):
        sizes.append(len(positions))
        for place, maps in written.items():
            assert len(maps) == len(positions)
            kept.setdefault(place, {}).update(zip(positions.tolist(), maps, strict=True))
    return {place: torch.stack([found[i] for i in range(probes.count)]) for place, found in kept.items()}, sizes


def rows_of_a_recording(found, name):
    assert torch.equal(found[name, "conv"].flatten(), torch.arange(11.0))
    assert torch.equal(found[name, "tail"][:, 0], torch.arange(11.0)[:, None, None] + torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize("kind", ["images", "generator"])
def test_a_recording_is_given_positions_beside_other_networks(images, kind):
    made = generator(Scarce(3, 99))
    probes = images if kind == "images" else GeneratorProbes(made, seed=0, count=11)
    networks = {"recorded": recording(), "seeing": discriminator(Scarce(3, 2))}
    found, sizes = collect(probes, networks, 4)
    assert sizes == [2, 2, 2, 2, 2, 1]  # a batch that is run in halves
    assert len(found) == 4
    rows_of_a_recording(found, "recorded")
    if kind == "generator":
        assert max(made.module.sizes) == 4


@pytest.mark.parametrize("kind", ["images", "generator"])
def test_where_all_are_recordings_no_image_is_decoded_or_made(images, kind, tmp_path):
    made = generator(Scarce(3, 0))
    for file in tmp_path.glob("*.png"):
        file.write_bytes(b"no image")
    probes = images if kind == "images" else GeneratorProbes(made, seed=0, count=11)
    found, sizes = collect(probes, {"a": recording(), "b": recording()}, 4)
    assert sizes == [4, 4, 3]
    rows_of_a_recording(found, "a")
    rows_of_a_recording(found, "b")
    assert made.module.sizes == []
    passes = ForwardPasses(None, {"a": recording()}, {"a": ("conv",)}, CPU)
    assert [len(batch) for batch in passes.run(torch.arange(3).split(2), ["a"], lambda *found: None)] == [2, 1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("kind", ["images", "generator"])
def test_without_memory_the_batch_is_halved_and_nothing_is_lost(images, kind, error):
    torch.manual_seed(0)
    plenty, scarce = Scarce(3, 99), Scarce(3, 3, error)
    networks = {"a": discriminator(plenty), "b": discriminator(scarce)}
    probes = images
    if kind == "generator":
        made = generator(Scarce(3, 5, error))
        networks["g"] = made
        probes = GeneratorProbes(made, seed=0, count=11)
    found, sizes = collect(probes, networks, 8)
    assert sizes == [2, 2, 2, 2, 2, 1]  # 8 are too many, and 4
    assert max(scarce.sizes[-6:]) <= 2
    for module in (scarce, *([networks["g"].module] if "g" in networks else [])):
        module.most = 99
    again, sizes = collect(probes, networks, 8)
    assert sizes == [8, 3]
    assert len(found) == 2 * len(networks)
    for place, maps in found.items():
        torch.testing.assert_close(maps, again[place], atol=1e-5, rtol=0)


def test_one_image_that_does_not_fit_is_an_error(images):
    with pytest.raises(torch.OutOfMemoryError):
        collect(images, {"a": discriminator(Scarce(3, 0))}, 4)


def test_another_error_is_not_tried_again(images):
    module = Scarce(3, 2, lambda text: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        collect(images, {"a": discriminator(module)}, 4)
    assert module.sizes == [4]
