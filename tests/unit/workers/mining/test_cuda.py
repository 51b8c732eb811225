"""On a GPU: what TF32 does to r, and that memory that runs out halves the batch."""

import pytest
import torch

from tests.mining import correlations, mine
from tests.reference import pearson_layers

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


@pytest.fixture
def tf32():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_tf32_leaves_r_within_a_thousandth_of_float64(tf32, offset):
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(40, 64, 14, 14, generator=generator)
    models = {
        "a": {"x": shared + offset, "y": torch.randn(40, 32, 7, 9, generator=generator)},
        "b": {"z": shared * 3 + torch.randn(40, 64, 14, 14, generator=generator) - offset},
    }
    on_gpu = {name: {layer: maps.cuda() for layer, maps in layers.items()} for name, layers in models.items()}
    found = correlations(mine(on_gpu, keep=64, device="cuda"), 0, 1).cpu()
    expected = pearson_layers(list(models["a"].values()), list(models["b"].values()))
    assert (found - expected).abs().max() < 1e-3


def test_the_gpu_and_the_cpu_agree_on_exemplars():
    generator = torch.Generator().manual_seed(1)
    maps = {"x": torch.randn(30, 16, 7, 7, generator=generator)}
    cpu = mine({"a": maps, "b": maps}).profile(0)
    gpu = mine({"a": {"x": maps["x"].cuda()}, "b": {"x": maps["x"].cuda()}}, device="cuda").profile(0)
    assert torch.equal(cpu.by_maximum.images, gpu.by_maximum.images.cpu())
