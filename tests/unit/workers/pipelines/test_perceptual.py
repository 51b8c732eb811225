"""LPIPS on AlexNet's weights in a folder: against the formula of Zhang et al. 2018 in float64, by hand."""

import pytest
import torch
from torchvision.models import alexnet

from rosetta.errors import InvalidRequest
from service.settings import Settings
from workers.pipelines import perceptual

CPU = torch.device("cpu")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return alexnet(weights=None).eval()


@pytest.fixture
def settings(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    return Settings(weights_dirs=(tmp_path,))


def by_hand(network, a, b):
    """Differences of unit-length features after each ReLU, weighted by channel, averaged over places, summed up."""
    import lpips

    weights = torch.load(f"{lpips.__path__[0]}/weights/v0.1/alex.pth", weights_only=True, map_location="cpu")
    shift = torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450]).double()[:, None, None]
    found, features = torch.zeros(len(a), dtype=torch.float64), network.double().features
    x, y = ((2 * image.double() - 1 - shift) / scale for image in (a, b))
    taken = 0
    for layer in features:
        x, y = layer(x), layer(y)
        if isinstance(layer, torch.nn.ReLU):
            u, v = (one / (one.square().sum(1, keepdim=True).sqrt() + 1e-10) for one in (x, y))
            channel = weights[f"lin{taken}.model.1.weight"].double()
            found += ((u - v).square() * channel).sum(1).mean((1, 2))
            taken += 1
    assert taken == 5
    return found


def test_the_published_formula(settings, network):
    a, b = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    distance = perceptual.load(settings, CPU)
    with torch.inference_mode():
        assert distance(a, b) == pytest.approx(by_hand(network, a, b), rel=1e-4)
        assert distance(a, a) == pytest.approx([0, 0, 0], abs=1e-6)


def test_gradients_pass(settings):
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    perceptual.load(settings, CPU)(image, torch.rand(1, 3, 64, 64)).sum().backward()
    assert image.grad.abs().sum() > 0


def test_without_weights_it_is_missing_and_says_where_they_go(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    settings = Settings(weights_dirs=(tmp_path,))
    assert perceptual.load_if_there(settings, CPU) is None
    with pytest.raises(InvalidRequest, match=r"put the file at .*alexnet-owt-7be5be79\.pth"):
        perceptual.load(settings, CPU)


def test_a_broken_file_is_as_good_as_none_for_a_measure(tmp_path):
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"nonsense")
    assert perceptual.load_if_there(Settings(weights_dirs=(tmp_path,)), CPU) is None
