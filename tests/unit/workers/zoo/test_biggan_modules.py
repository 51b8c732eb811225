"""The arithmetic of BigGAN-deep against a reference of numpy in float64, block by block and whole."""

import biggan_reference as reference
import numpy as np
import pytest
import torch
from biggan_files import CONFIG, EXACT, STATE, latents, load
from runs import maps


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load(tmp_path_factory.mktemp("weights"))


def condition(drawn):
    return np.concatenate([drawn.values, STATE["embeddings.weight"].T[drawn.classes]], axis=1).astype(np.float64)


def close(found, expected, tolerance=2e-5):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 10 * tolerance  # not all zero
    np.testing.assert_allclose(found.double().numpy(), expected, atol=tolerance * np.abs(expected).max())


# Steps of 1/5: on a step, between two, below the first, the last; 0.6 / (1 / 5) is 2.9999999999999996 or 3.
@pytest.mark.parametrize("truncation", [1.0, 0.4, 0.6, 0.5, 0.07, 0.999])
def test_the_whole_generator(network, truncation):
    drawn = latents(network, truncation=truncation)
    with torch.inference_mode():
        made = network.module(*network.inputs(drawn))
    z, classes = drawn.values.double().numpy(), drawn.classes.tolist()
    expected = reference.generate(EXACT, CONFIG, z, classes, truncation)
    assert made.shape == (2, 3, 32, 32)
    close(made, expected, 1e-4)
    np.testing.assert_allclose(network.images(made), (expected + 1) / 2, atol=1e-4)


@pytest.mark.parametrize("truncation", [1.0, 0.4, 0.5, 0.93, 0.01])
def test_conditional_normalisation_at_any_truncation(network, truncation):
    drawn = latents(network)
    inputs = torch.randn(2, 64, 4, 4, generator=torch.Generator().manual_seed(1))
    norm = network.module.generator.layers[0].bn_0
    with torch.inference_mode():
        found = norm(inputs, torch.from_numpy(condition(drawn)).float(), truncation)
    key = "generator.layers.0.bn_0"
    close(found, reference.conditional(inputs.double().numpy(), EXACT, key, truncation, condition(drawn), 1e-4))


def test_the_final_normalisation_has_its_own_gain_and_offset(network):
    inputs = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = network.module.generator.bn(inputs, 0.3)
    gain, offset = (np.tile(EXACT[f"generator.bn.{name}"], (2, 1)) for name in ("weight", "bias"))
    close(found, reference.normalise(inputs.double().numpy(), EXACT, "generator.bn", 0.3, gain, offset, 1e-4))


def test_between_steps_the_fraction_goes_to_the_step_below_as_published(network):
    norm = network.module.generator.bn
    for truncation, share in ((0.25, 0.25), (0.35, 0.75)):  # a fraction past step 1 of 5
        slope, intercept = norm.affine(truncation, norm.weight, norm.bias)
        low, high = (STATE["generator.bn.running_vars"][step].double() for step in (1, 2))
        variance = (STATE["generator.bn.weight"].double() / slope.double()).square() - 1e-4
        torch.testing.assert_close(variance, share * low + (1 - share) * high, rtol=1e-4, atol=1e-4)
        low, high = (STATE["generator.bn.running_means"][step].double() for step in (1, 2))
        mean = (STATE["generator.bn.bias"].double() - intercept.double()) / slope.double()
        torch.testing.assert_close(mean, share * low + (1 - share) * high, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (4, 6)])
def test_self_attention(network, size):
    inputs = 0.4 * torch.randn(2, 32, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = network.module.generator.layers[2](inputs)
    expected = reference.attend(inputs.double().numpy(), EXACT, "generator.layers.2")
    close(found, expected)
    assert np.abs(expected - inputs.numpy()).max() > 0.1  # gamma is not zero


@pytest.mark.parametrize(("index", "layer"), [(0, 0), (1, 1), (4, 3), (5, 4)])
def test_a_block_keeps_or_doubles_and_drops_channels(network, index, layer):
    doubles, taken, made = CONFIG["layers"][layer]
    drawn = latents(network)
    inputs = torch.randn(2, 4 * taken, 4, 4, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        found = network.module.generator.layers[index](inputs, torch.from_numpy(condition(drawn)).float(), 0.7)
    assert found.shape == (2, 4 * made, 8, 8) if doubles else (2, 4 * made, 4, 4)
    key = f"generator.layers.{index}"
    layer = CONFIG["layers"][layer]
    close(found, reference.block(inputs.double().numpy(), EXACT, key, CONFIG, layer, condition(drawn), 0.7))


def test_spectral_normalisation_is_folded(network):
    state = network.module.state_dict()
    assert not [key for key in state if key.endswith(("_orig", "_u", "_v"))]
    for key in ("generator.gen_z", "generator.layers.1.conv_1", "generator.layers.2.snconv1x1_g"):
        close(state[f"{key}.weight"], reference.weight(EXACT, key), 1e-6)
    close(state["generator.conv_to_rgb.weight"], reference.weight(EXACT, "generator.conv_to_rgb")[:3], 1e-6)


def test_default_layers_are_convolution_outputs_after_activation(network):
    assert network.layers == (
        *(f"generator.layers.0.relu_{number}" for number in (1, 2, 3)),
        *(f"generator.layers.{index}.relu_{number}" for index in (1, 3, 4, 5) for number in range(4)),
        "generator.relu",
    )
    drawn = latents(network, truncation=0.5)
    found = maps(network, *network.inputs(drawn), layers=["generator.layers.1", *network.layers])
    assert all(found[layer].min() >= 0 for layer in network.layers)
    assert found["generator.layers.1"].min() < 0
    before = found["generator.layers.1"].double().numpy()
    attended = reference.attend(before, EXACT, "generator.layers.2")
    key = "generator.layers.3.bn_0"
    expected = np.maximum(reference.conditional(attended, EXACT, key, 0.5, condition(drawn), 1e-4), 0)
    close(found["generator.layers.3.relu_0"], expected)
