"""The source `stylegan:`: which file is what, noise, real sizes, and files that do not fit."""

import pickle
from dataclasses import dataclass

import pickles
import pytest
import torch
from stylegan2_files import Tiny, draw, persistent, port, tensorflow

from rosetta.errors import InvalidRequest
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry, weights
from workers.zoo.base import Latents, LatentSpace

TINY = Tiny(resolution=8)


def written(folder, tiny=TINY, state=None, name="network.pkl"):
    return pickles.write(folder / name, pickles.checkpoint(persistent(tiny, state or draw(tiny))))


def load(file, options=""):
    return registry.load(f"stylegan:{file}{options}")


def image(network, count=2):
    latents = Latents(torch.randn(count, network.latents.dimensions, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        return network.module(*network.inputs(latents))


def test_a_generator_makes_probes(tmp_path):
    tiny = Tiny(resolution=16, classes=3, colours=1)
    file = written(tmp_path, tiny)
    network = load(file)
    assert network.latents == LatentSpace(dimensions=5, height=16, width=16, classes=3, styles=(6, 6))
    assert network.family == "stylegan"
    assert "stylegan2" in network.aliases
    assert network.details == {"architecture": "StyleGAN2 (skip, 16 x 16)", "noise": "constant"}
    assert network.weights_digest == weights.digest_files([file])
    assert not any(parameter.requires_grad for parameter in network.module.parameters())
    layers = trace(network, network.layers, "gan")
    assert [(layer.name, layer.channels, layer.height) for layer in layers] == [
        ("synthesis.b4.conv1", 5, 4),
        ("synthesis.b8.conv0", 4, 8),
        ("synthesis.b8.conv1", 4, 8),
        ("synthesis.b16.conv0", 3, 16),
        ("synthesis.b16.conv1", 3, 16),
    ]
    latents = GeneratorProbes(network, seed=1, count=4, truncation=0.5).latents([0, 3])
    with torch.inference_mode():
        images = network.images(network.module(*network.inputs(latents)))
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert torch.equal(images[:, 0], images[:, 2])


def test_the_averaged_generator_is_taken_wherever_it_lies(tmp_path):
    right, wrong = persistent(TINY, draw(TINY)), persistent(TINY, draw(TINY, seed=1))
    expected = image(load(written(tmp_path)))
    snapshot = pickles.checkpoint(right, G=wrong)
    for name, content in {"snapshot": snapshot, "reordered": dict(reversed(snapshot.items())), "alone": right}.items():
        assert torch.equal(image(load(pickles.write(tmp_path / name, content))), expected)
    for name, content in {"all": tensorflow(TINY, draw(TINY)), "Gs": tensorflow(TINY, draw(TINY))[2]}.items():
        assert torch.allclose(image(load(pickles.write(tmp_path / name, content, 3))), expected, atol=1e-5)
    given = registry.load(f"stylegan:{tmp_path / 'absent.pkl'}", tmp_path / "alone")
    assert torch.equal(image(given), expected)


def test_half_precision_runs_in_float32(tmp_path):
    state = {name: tensor.half() if "b8" in name else tensor for name, tensor in draw(TINY).items()}
    network = load(written(tmp_path, state=state))
    assert {parameter.dtype for parameter in network.module.parameters()} == {torch.float32}
    assert torch.allclose(image(network), image(load(written(tmp_path))), atol=0.05)


def test_noise_is_the_files_none_or_drawn_once(tmp_path):
    file, state = written(tmp_path), draw(TINY)
    constant = image(load(file))
    assert torch.equal(image(load(file, "?noise=constant")), constant)
    for name in state:
        if name.endswith("noise_strength"):
            state[name] = torch.zeros(())
    none = image(load(file, "?noise=none"))
    assert torch.equal(none, image(load(written(tmp_path, state=state, name="quiet.pkl"))))
    network = load(file, "?noise=3")
    drawn = image(network)
    assert torch.equal(image(network), drawn)
    assert torch.equal(image(load(file, "?noise=3")), drawn)
    assert torch.allclose(image(network, 1)[0], drawn[0], atol=1e-5)
    results = [constant, none, drawn, image(load(file, "?noise=4"))]
    assert all((a - b).abs().max() > 0.01 for i, a in enumerate(results) for b in results[:i])
    noises = [buffer for name, buffer in network.module.named_buffers() if name.endswith("noise_const")]
    assert all(noise.std() > 0.5 for noise in noises)
    assert not torch.equal(noises[1], noises[2])
    assert network.details["noise"] == "3"


@pytest.mark.parametrize("noise", ["loud", "", "-1", "1.5", "1e3", "9" * 30])
def test_a_noise_that_is_none(tmp_path, noise):
    with pytest.raises(InvalidRequest, match=f"'{noise}' is no noise: write noise=constant, noise=none, or noise=SEED"):
        load(written(tmp_path), f"?noise={noise}")


def test_noise_that_a_file_lacks(tmp_path):
    quiet = written(tmp_path, Tiny(resolution=8, noise=False))
    assert load(quiet).details["noise"] == "none"
    assert torch.equal(image(load(quiet, "?noise=none")), image(load(quiet)))
    with pytest.raises(InvalidRequest, match=r"the generator in 'network.pkl' takes no noise: leave noise=5 out"):
        load(quiet, "?noise=5")
    state, mean = port(TINY)
    state = {key: value for key, value in state.items() if not key.startswith("noises.")}
    torch.save({"g_ema": state, "latent_avg": mean}, tmp_path / "old.pt")
    with pytest.raises(InvalidRequest, match=r"'old.pt' has no noise images of its own: add \?noise=none or"):
        load(tmp_path / "old.pt")
    for option in ("none", "5"):
        assert image(load(tmp_path / "old.pt", f"?noise={option}")).isfinite().all()


@dataclass(frozen=True)
class Real(Tiny):
    """A published size."""

    z: int = 512
    w: int = 512
    mapping: int = 8
    base: int = 32768

    @property
    def channels(self):
        return {side: min(self.base // side, 512) for side in self.sides}


def test_the_real_size_of_1024_pixels(tmp_path):
    tiny = Real(resolution=1024)
    network = load(written(tmp_path, tiny))
    # The published count of config F: "Total 30370060" (all weights, without the mean w and the noise images).
    assert sum(parameter.numel() for parameter in network.module.parameters()) == 30_370_060
    assert network.latents == LatentSpace(dimensions=512, height=1024, width=1024, styles=(18, 512))
    network.module.to("meta")
    with torch.inference_mode():
        assert network.module(torch.zeros(1, 512, device="meta")).shape == (1, 3, 1024, 1024)
    sizes = {
        name: tuple(layer.weight.shape) for name, layer in network.module.named_modules() if name in network.layers
    }
    assert len(sizes) == 17
    assert sizes["synthesis.b4.conv1"] == (512, 512, 3, 3)
    assert sizes["synthesis.b64.conv0"] == (512, 512, 3, 3)
    assert sizes["synthesis.b128.conv0"] == (256, 512, 3, 3)
    assert sizes["synthesis.b1024.conv1"] == (32, 32, 3, 3)


@pytest.mark.parametrize(("base", "last"), [(32768, 128), (16384, 64)])
def test_the_port_at_256_pixels_with_either_channel_multiplier(tmp_path, base, last):
    state, mean = port(Real(resolution=256, base=base))
    torch.save({"g_ema": state, "latent_avg": mean}, tmp_path / "port.pt")
    network = load(tmp_path / "port.pt")
    found = shapes_of_generator(network)
    assert found["synthesis.b4.conv1"] == (512, 4, 4)
    assert found["synthesis.b256.conv1"] == (last, 256, 256)
    assert len(found) == 13
    assert network.latents.styles == (14, 512)


def shapes_of_generator(network):
    return {layer.name: (layer.channels, layer.height, layer.width) for layer in trace(network, network.layers, "gan")}


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


RESNET = {f"layer{i}.conv.weight": torch.zeros(3, 3) for i in range(9)}


def _misfits(folder):
    state, (found, mean) = draw(TINY), port(TINY)
    wide = state | {"synthesis.b8.conv0.affine.weight": torch.zeros(9, 6)}
    extra = persistent(TINY, state)
    extra.state["_modules"]["attention"] = pickles.module("Attention", parameters={"query": torch.zeros(2)})
    encoder = pickles.module("Encoder", parameters={"weight": torch.zeros(2)}, modules={})
    gap = {key.replace("b8", "b16"): value for key, value in state.items()}
    _, _, gs = tensorflow(TINY, state)
    other = pickles.Network(**gs.state | {"components": {}})
    concatenated = tensorflow(TINY, state)[2]
    concatenated.state["components"]["mapping"].state["variables"].append(["LabelConcat/weight", mean.numpy()])

    def saved(content):
        return torch.save(content, folder / "file")

    def pickled(content):
        return pickles.write(folder / "file", content)

    return {
        "another shape": (
            pickled,
            {"G_ema": persistent(TINY, wide)},
            r"files: synthesis.b8.conv0.affine.weight is \[9, 6\], expected \[4, 6\]",
        ),
        "more": (
            pickled,
            {"G_ema": extra},
            "does not fit the StyleGAN2 of NVIDIA's PyTorch files: unexpected attention",
        ),
        "an encoder": (pickled, {"G_ema": encoder}, "the file's NoneType has no _modules: it is another kind"),
        "no generator": (pickled, {"D": encoder}, "'file' holds no G_ema: it is no generator of StyleGAN"),
        "a list": (pickled, [1, 2], "'file' holds no G_ema"),
        "two networks": (pickled, (gs, gs), "'file' holds no G_ema"),
        "a gap": (
            pickled,
            {"G_ema": persistent(Gap(resolution=16), gap)},
            "its resolutions are 4, 16, expected each to double",
        ),
        "another non-linearity": (
            pickled,
            {"G_ema": persistent(Tiny(resolution=8, activation="gelu"), state)},
            "asks for the non-linearity 'gelu': StyleGAN2 has linear, relu, lrelu",
        ),
        "no networks in TensorFlow's": (
            pickled,
            other,
            "TensorFlow files: missing synthesis/4x4/ToRGB/weight",
        ),
        "older labels": (pickled, concatenated, "unexpected mapping/LabelConcat/weight"),
        "another synthesis": (
            pickled,
            tensorflow(TINY, state, synthesis_func="G_synthesis_stylegan_revised"),
            "made with the option synthesis_func='G_synthesis_stylegan_revised', which the published StyleGAN2",
        ),
        "a ResNet": (saved, {"g_ema": RESNET}, r"port: missing \S+; unexpected layer0.conv.weight \(and 8 more\)"),
        "a bare ResNet": (saved, RESNET, "'file' has no 'g_ema': a StyleGAN is NVIDIA's .pkl, or a .pt"),
        "less": (saved, {"g_ema": without(found, "convs.0.activate.bias")}, "missing convs.0.activate.bias"),
        "less styles": (saved, {"g_ema": without(found, "style.1.bias")}, "port: missing style.1.bias"),
        "code": (pickled, {"G_ema": eval}, "'file' names builtins.eval, which no published network needs"),
        "code in the port's": (saved, {"g_ema": found, "x": eval}, "'file' holds Python objects or code"),
    }


class Gap(Tiny):
    @property
    def sides(self):
        return [4, 16]


@pytest.mark.parametrize("kind", _misfits(None))
def test_other_files_get_one_line_that_names_what_does_not_fit(tmp_path, kind):
    write, content, message = _misfits(tmp_path)[kind]
    write(content)
    with pytest.raises(InvalidRequest, match=message) as error:
        load(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InvalidRequest, match=r"stylegan: names no file: write stylegan:FILE.pkl or"):
        registry.load("stylegan:")
    with pytest.raises(InvalidRequest, match=r"there is no weight file '.*absent.pkl'"):
        load(tmp_path / "absent.pkl")
    with pytest.raises(InvalidRequest, match="a source stylegan: has no option 'truncation': it knows noise"):
        load(written(tmp_path), "?truncation=1")
    (tmp_path / "page.pkl").write_text("<html>")
    with pytest.raises(InvalidRequest, match=r"'page.pkl' is no pickle of a network"):
        load(tmp_path / "page.pkl")
    whole = written(tmp_path).read_bytes()
    (tmp_path / "cut.pkl").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InvalidRequest, match=r"'cut.pkl' is no pickle of a network, is broken or cut short"):
        load(tmp_path / "cut.pkl")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"G_ema": None}))
    with pytest.raises(InvalidRequest, match=r"'plain.pkl' holds no G_ema"):
        load(tmp_path / "plain.pkl")


def test_what_a_generator_cannot_take(tmp_path):
    conditional = load(written(tmp_path, Tiny(resolution=8, classes=3)))
    with pytest.raises(InvalidRequest, match="this generator has 3 classes: name one for each z"):
        conditional.module(torch.zeros(1, 5))
    network = load(written(tmp_path, state=without(draw(TINY), "mapping.w_avg")))
    with pytest.raises(InvalidRequest, match="the file has no mean w: leave the truncation out"):
        network.module(torch.zeros(1, 5), None, 0.5)
    with pytest.raises(
        InvalidRequest, match=r"w\+ of shape \[3, 6\] came: this generator takes w of \[6\] and w\+ of \[4, 6\]"
    ):
        network.module(torch.zeros(1, 3, 6), None, None, "w+")
