"""StyleGAN2 of every published layout: its images and recorded layers against plain arithmetic in float64."""

from dataclasses import replace

import numpy as np
import pickles
import pytest
import torch
from runs import maps
from stylegan2_files import FILTER, Reference, Tiny, draw, persistent, port, tensorflow

from workers.zoo import registry
from workers.zoo.base import Latents

VARIANTS = {
    "skip": Tiny(),
    "orig": Tiny("orig"),
    "resnet": Tiny("resnet"),
    "classes": Tiny(classes=4),
    "clamped": Tiny(clamp=0.7),
    "clamped resnet": Tiny("resnet", clamp=0.7, classes=2),
    "no noise": Tiny(noise=False),
    "gray, 8 x 8, two dense layers, swish": Tiny(resolution=8, colours=1, mapping=2, activation="swish", rate=0.1),
    "4 x 4": Tiny(resolution=4),
}


def as_persistent(folder, tiny, state):
    return pickles.write(folder / "ada.pkl", pickles.checkpoint(persistent(tiny, state)))


def as_tensorflow(folder, tiny, state):
    options = {"conv_clamp": tiny.clamp, "nonlinearity": tiny.activation, "mapping_nonlinearity": tiny.activation}
    return pickles.write(folder / "tensorflow.pkl", tensorflow(tiny, state, **options))


def latents(tiny, count=3, **options):
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(count) % tiny.classes if tiny.classes else None
    return Latents(torch.randn(count, tiny.z, generator=generator), classes=classes, **options)


def images(network, given):
    with torch.inference_mode():
        return network.module(*network.inputs(given))


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", [as_persistent, as_tensorflow])
def test_images_and_layers_are_the_papers(tmp_path, variant, layout):
    tiny = VARIANTS[variant]
    state = draw(tiny)
    network = registry.load(f"stylegan:{layout(tmp_path, tiny, state)}")
    given = latents(tiny)
    found = images(network, given)
    assert found.shape == (3, tiny.colours, tiny.resolution, tiny.resolution)
    layers = maps(network, *network.inputs(given))
    convolutions = [f"synthesis.b{side}.conv{n}" for side in tiny.sides for n in (0, 1) if side > 4 or n]
    assert list(layers) == list(network.layers) == convolutions
    reference = Reference(tiny, state)
    for index, z in enumerate(given.values):
        label = int(given.classes[index]) if tiny.classes else None
        close(found[index], reference.image(z, label))
        for name in convolutions:
            close(layers[name][index], reference.outputs[name])
    if tiny.clamp:
        assert max(output.abs().max() for output in reference.outputs.values()) == pytest.approx(tiny.clamp)


def test_the_port_has_its_own_scale(tmp_path):
    """Its kernels are divided by the root of their fan-in before the norm: with small ones, the 1e-8 shows."""
    tiny = Tiny()
    state = draw(tiny)
    small = {
        name: tensor * 1e-4 if name.endswith((".conv0.weight", ".conv1.weight")) else tensor
        for name, tensor in state.items()
    }
    found, mean = port(tiny)
    found = {
        key: value * 1e-4 if key.endswith("conv.weight") and "rgb" not in key else value for key, value in found.items()
    }
    torch.save({"g_ema": found, "latent_avg": mean}, tmp_path / "port.pt")
    network = registry.load(f"stylegan:{tmp_path / 'port.pt'}")
    given = latents(tiny, truncation=0.6)
    ours = images(network, given)
    scaled, plain = Reference(tiny, small, scaled=True), Reference(tiny, small)
    for index, z in enumerate(given.values):
        expected = scaled.image(z, psi=0.6)
        close(ours[index], expected)
        assert (plain.image(z, psi=0.6) - expected).abs().max() > 0.01


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_the_port_s_training(tmp_path, zipped):
    import argparse

    tiny = Tiny(resolution=8)
    found, _ = port(tiny)
    checkpoint = {"g": found, "d": {"weight": torch.ones(1)}, "g_ema": found, "args": argparse.Namespace(size=8)}
    torch.save(checkpoint, tmp_path / "000100.pt", _use_new_zipfile_serialization=zipped)
    network = registry.load(f"stylegan:{tmp_path / '000100.pt'}")
    reference = Reference(tiny, draw(tiny), scaled=True)
    for index, z in enumerate(latents(tiny).values):
        close(images(network, latents(tiny))[index], reference.image(z))
    # Without a mean w in the file it is estimated from 4096 samples, the same each time.
    many = torch.stack(
        [reference.mapping(z) for z in torch.randn(4000, tiny.z, generator=torch.Generator().manual_seed(9))]
    )
    error = (network.module.mapping.w_avg - many.mean(0)).abs()
    assert (error < 5 * many.std(0) * (2 / 4000) ** 0.5).all()
    again = registry.load(f"stylegan:{tmp_path / '000100.pt'}")
    assert torch.equal(again.module.mapping.w_avg, network.module.mapping.w_avg)


def test_truncation_and_the_three_spaces(tmp_path):
    tiny = Tiny()
    state = draw(tiny)
    network = registry.load(f"stylegan:{as_persistent(tmp_path, tiny, state)}")
    assert network.latents.styles == (tiny.ws, tiny.w)
    reference = Reference(tiny, state)
    given = latents(tiny)
    ws = torch.stack([reference.mapping(z) for z in given.values]).float()
    for psi in (None, 1.0, 0.5):
        from_z = images(network, replace(given, truncation=psi))
        close(from_z[1], reference.image(given.values[1], psi=psi or 1))
        close(images(network, Latents(ws, "w", truncation=psi)), from_z)
    mixed = torch.randn(2, tiny.ws, tiny.w)
    found = images(network, Latents(mixed, "w+"))
    for index in range(2):
        close(found[index], reference.synthesis(list(mixed[index].double())))
    assert (images(network, replace(given, truncation=0.5)) - images(network, given)).abs().max() > 0.01


def test_images_do_not_depend_on_their_batch(tmp_path):
    tiny = Tiny(classes=3)
    network = registry.load(f"stylegan:{as_persistent(tmp_path, tiny, draw(tiny))}?noise=7")
    given = latents(tiny, 5)
    together = images(network, given)
    for index in range(5):
        alone = Latents(given.values[index : index + 1], classes=given.classes[index : index + 1])
        close(images(network, alone)[0], together[index])


def test_odd_filters_of_the_file_are_used(tmp_path):
    """An uneven filter tells a convolution from a correlation, and a wrong margin by a pixel."""
    tiny = Tiny("resnet", resolution=8)
    taps = torch.tensor([[1.0, 2, 0, 3], [0, 1, 5, 2], [4, 0, 1, 0], [1, 1, 0, 2]]) / 23
    state = draw(tiny)
    given = latents(tiny)
    content = pickles.checkpoint(persistent(tiny, state, taps))
    network = registry.load(f"stylegan:{pickles.write(tmp_path / 'a.pkl', content)}")
    reference = Reference(tiny, state, kernel=taps.flip(0, 1))  # conv2d correlates
    for index, z in enumerate(given.values):
        close(images(network, given)[index], reference.image(z))
    assert (
        Reference(tiny, state, kernel=FILTER).image(given.values[0]) - reference.image(given.values[0])
    ).abs().max() > 0.1
