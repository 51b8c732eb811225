"""Diffusion pipelines: images as diffusers makes them, units at their timesteps, every layout of the files."""

import json
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from huggingface_hub import constants
from runs import maps
from safetensors.torch import load_file, save_file
from torch import nn

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry
from workers.zoo.base import Latents, Network, Preprocessing
from workers.zoo.diffusers_sampler import Sampler, default_layers

SIDE, STEPS = 8, 5
UNET = {
    "sample_size": SIDE,
    "block_out_channels": (4, 8),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}
# As published with google/ddpm-cifar10-32, of the first version of diffusers.
OLD_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.1.1",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_large",
}
FORMER = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def tiny(seed=0, **changes):
    """A UNet with weights large enough that its activations differ from step to step."""
    torch.manual_seed(seed)
    return UNet2DModel(**{**UNET, **changes}).eval()


def publish(folder, unet=None, scheduler=OLD_SCHEDULER, name="me/ddpm-tiny"):
    """A pipeline in a weights folder, a folder a part."""
    place = folder / name
    (unet or tiny()).save_pretrained(place / "unet")
    (place / "scheduler").mkdir()
    (place / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "X"]}
    (place / "model_index.json").write_text(json.dumps(index))
    return place


def load(folder, options=f"?steps={STEPS}", name="me/ddpm-tiny", weights=None):
    return registry.load(f"diffusers:{name}{options}", weights, folders=(folder,))


def noise(count=3, seed=1):
    return torch.randn(count, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(seed))


def images(network, z):
    with torch.inference_mode():
        return network.images(network.module(*network.inputs(Latents(z))))


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def described(scheduler):
    """What is saved of a scheduler."""
    return {**scheduler.config, "_class_name": type(scheduler).__name__}


SCHEDULERS = {
    "old": OLD_SCHEDULER,
    "ddim": described(DDIMScheduler(steps_offset=1, set_alpha_to_one=False, clip_sample=False)),
    "cosine, velocity": described(DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")),
    "image, thresholds": described(DDPMScheduler(prediction_type="sample", thresholding=True, clip_sample=False)),
    "trailing": described(DDPMScheduler(num_train_timesteps=100, timestep_spacing="trailing")),
}


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_images_are_those_of_diffusers_own_pipeline(tmp_path, kind):
    unet, scheduler = tiny(), SCHEDULERS[kind]
    publish(tmp_path, unet, scheduler)
    pipeline = DDIMPipeline(unet, DDIMScheduler.from_config(scheduler))
    pipeline.set_progress_bar_config(disable=True)
    drawn = torch.Generator().manual_seed(1)
    theirs = pipeline(3, generator=drawn, eta=0.0, num_inference_steps=STEPS, output_type="np").images
    np.testing.assert_allclose(images(load(tmp_path), noise()).permute(0, 2, 3, 1), theirs, rtol=0, atol=1e-5)


def test_images_are_those_of_the_papers_steps(tmp_path):
    """Song et al. 2021, equation 12 with sigma 0, in float64."""
    unet = tiny()
    publish(tmp_path, unet, {**OLD_SCHEDULER, "clip_sample": False})
    exact, shape = unet.double(), (3, SIDE, SIDE)
    kept = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))
    sample = noise().double().unflatten(1, shape)
    for timestep in (800, 600, 400, 200, 0):
        before = kept[timestep - 200] if timestep else 1.0
        with torch.inference_mode():
            predicted = exact(sample, timestep).sample
        image = (sample - (1 - kept[timestep]) ** 0.5 * predicted) / kept[timestep] ** 0.5
        sample = before**0.5 * image + (1 - before) ** 0.5 * predicted
    with torch.inference_mode():
        found = load(tmp_path).module(noise())
    np.testing.assert_allclose(found, sample, rtol=2e-4, atol=2e-4)


def keep_in(found, layer):
    return lambda _module, _inputs, output: found.update({layer: output})


def captured(unet, timesteps, layers):
    """{timestep: {layer: output}} of the plain UNet, step by step."""
    scheduler = DDIMScheduler.from_config(OLD_SCHEDULER)
    scheduler.set_timesteps(STEPS)
    sample, found = noise().unflatten(1, (3, SIDE, SIDE)), {}
    for timestep in scheduler.timesteps.tolist():
        here = found.setdefault(timestep, {})
        handles = [unet.get_submodule(layer).register_forward_hook(keep_in(here, layer)) for layer in layers]
        with torch.inference_mode():
            sample = scheduler.step(unet(sample, timestep).sample, timestep, sample).prev_sample
        for handle in handles:
            handle.remove()
    return {timestep: found[timestep] for timestep in timesteps}


def test_units_are_the_unets_at_the_stated_timesteps(tmp_path):
    unet = tiny()
    publish(tmp_path, unet)
    network = load(tmp_path, "?steps=5&at=200,800")
    layers = ("mid_block", *(f"up_blocks.{block}.resnets.{resnet}" for block in (0, 1) for resnet in (0, 1)))
    assert network.layers == tuple(f"t{timestep}.{layer}" for timestep in (800, 200) for layer in layers)
    found = maps(network, noise())
    assert list(found) == list(network.layers)  # in forward order
    for timestep, outputs in captured(unet, (800, 200), layers).items():
        for layer, output in outputs.items():
            torch.testing.assert_close(found[f"t{timestep}.{layer}"], output)
    for layer in layers:
        difference = (found[f"t800.{layer}"] - found[f"t200.{layer}"]).abs().max()
        assert difference > 0.05 * found[f"t800.{layer}"].abs().max()


def test_stating_timesteps_changes_no_image(tmp_path):
    publish(tmp_path)
    few, all_of_them = load(tmp_path, "?steps=5&at=0"), load(tmp_path, "?steps=5&at=800,600,400,200,0")
    assert torch.equal(images(few, noise()), images(all_of_them, noise()))


def test_views_share_the_parameters(tmp_path):
    publish(tmp_path)
    sampler = load(tmp_path, "?steps=5&at=800,200").module
    own = dict(sampler.unet.named_parameters())
    for view in (sampler.t800, sampler.t200):
        assert {name: p.data_ptr() for name, p in view.named_parameters()} == {
            name: p.data_ptr() for name, p in own.items()
        }
        assert not {*map(id, view.modules())} & {*map(id, sampler.unet.modules())}
    assert len(list(sampler.parameters())) == len(own)
    sampler.to(memory_format=torch.channels_last).double()  # moved once, for all of them
    assert sampler.t800.conv_in.weight is sampler.unet.conv_in.weight
    assert sampler.t800.conv_in.weight.dtype is torch.float64


@pytest.mark.parametrize(
    ("steps", "timesteps"),
    [("", (900, 500, 100)), ("?steps=5", (800, 600, 200)), ("?steps=2", (500, 0)), ("?steps=1", (0,))],
)
def test_timesteps_without_a_word_are_spread(tmp_path, steps, timesteps):
    publish(tmp_path)
    found = [name for name, _ in load(tmp_path, steps).module.named_children()]
    assert found == ["unet", *(f"t{timestep}" for timestep in timesteps)]


def test_an_image_depends_on_its_noise_alone(tmp_path):
    publish(tmp_path, scheduler=SCHEDULERS["image, thresholds"])
    network, z = load(tmp_path), noise(4)
    whole, recorded = images(network, z), maps(network, z)
    for index in range(4):
        torch.testing.assert_close(images(network, z[[index]])[0], whole[index], rtol=1e-4, atol=1e-5)
        for layer, alone in maps(network, z[[index]]).items():
            torch.testing.assert_close(alone[0], recorded[layer][index], rtol=1e-4, atol=1e-5)
    assert torch.equal(images(network, z), whole)  # the sampler draws nothing itself


def flat(folder, place):
    """As the oldest pipelines lie: all in one folder."""
    for part in ("unet", "scheduler"):
        for file in (place / part).iterdir():
            file.rename(place / file.name)


def pickled(folder, place):
    file = place / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


def former(folder, place):
    """As files before diffusers 0.15 name the attention's linear layers."""
    file = place / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    renamed = {}
    for key, tensor in state.items():
        for now, then in FORMER.items():
            key = key.replace(f".{now}.", f".{then}.")
        renamed[key] = tensor
    assert sum(".query." in key for key in renamed) == 2 * 4  # four attentions with weight and bias
    save_file(renamed, file)


def cached(folder, place):
    """As the hub's client keeps them."""
    home = folder / "hub" / "models--me--ddpm-tiny"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    (home / "snapshots").mkdir()
    place.rename(home / "snapshots" / ("0" * 40))


def without_index(folder, place):
    (place / "model_index.json").unlink()


@pytest.mark.parametrize(
    "layouts", [(flat,), (pickled,), (former,), (cached,), (without_index,), (former, flat, cached)]
)
def test_every_layout_of_the_files(tmp_path, alone, layouts):
    place = publish(tmp_path)
    expected = images(load(tmp_path), noise())
    for layout in layouts:
        layout(tmp_path, place)
    assert torch.equal(images(load(tmp_path), noise()), expected)


def test_given_weights_go_before(tmp_path):
    publish(tmp_path)
    other = tiny(seed=7)
    file = tmp_path / "other.pt"
    torch.save({"model": {f"module.{key}": value for key, value in other.state_dict().items()}}, file)
    network = load(tmp_path, weights=file)
    assert torch.equal(network.module.unet.conv_in.weight, other.conv_in.weight)
    assert network.weights_digest != load(tmp_path).weights_digest


def test_what_it_says_of_itself(tmp_path):
    publish(tmp_path, tiny(sample_size=(8, 16)))
    network = load(tmp_path)
    assert (network.family, network.latents.dimensions) == ("diffusion", 3 * 8 * 16)
    assert (network.latents.height, network.latents.width) == (8, 16)
    assert {"me/ddpm-tiny", "ddpm-tiny", "ddpm tiny", "ddpm"} <= set(network.aliases)
    assert network.details["timesteps"] == [800, 600, 200]
    shapes = {found.name: (found.channels, found.height, found.width) for found in trace(network, network.layers, "d")}
    assert shapes["t600.mid_block"] == (8, 4, 8)
    assert shapes["t600.up_blocks.1.resnets.1"] == (4, 8, 16)


class Halves(nn.Module):
    """A network of images: means of 2 x 2 pixels."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(2)

    def forward(self, images):
        return self.pool(images).mean((2, 3))


def test_its_images_are_shown_to_another_network(tmp_path):
    publish(tmp_path)
    network = load(tmp_path, "?steps=5&at=600")
    seen = Preprocessing(SIDE, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    networks = {"d": network, "halves": Network(Halves(), ("pool",), "0", "halves", preprocessing=seen)}
    probes = GeneratorProbes(network, seed=3, count=5, truncation=0.8)
    layers = {"d": ("t600.mid_block",), "halves": ("pool",)}
    passes, kept = ForwardPasses(probes, networks, layers, torch.device("cpu")), {}
    for _ in passes.run(
        torch.arange(5).split(2),
        ["d", "halves"],
        lambda model, _layer, found: kept.setdefault(model, []).append(found.clone()),
    ):
        pass
    z = probes.latents(range(5)).values
    assert z.abs().max() <= 1.6
    expected = maps(network, z)["t600.mid_block"]
    torch.testing.assert_close(torch.cat(kept["d"]), expected, rtol=1e-4, atol=1e-5)
    halved = nn.functional.avg_pool2d(images(network, z), 2)
    torch.testing.assert_close(torch.cat(kept["halves"]), halved, rtol=1e-4, atol=1e-5)


def test_ddpm_of_cifar10_at_its_real_size():
    """Ho et al. 2020, appendix B: 35.7 million parameters; units of the way up at three timesteps."""
    with torch.device("meta"):
        unet = UNet2DModel(
            sample_size=32,
            block_out_channels=(128, 256, 256, 256),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            attention_head_dim=None,
            norm_eps=1e-6,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
        ).eval()
    assert round(sum(parameter.numel() for parameter in unet.parameters()) / 1e6, 1) == 35.7
    scheduler = DDIMScheduler.from_config(OLD_SCHEDULER)
    scheduler.set_timesteps(20)
    sampler, found = Sampler(unet, scheduler, (3, 32, 32), (900, 500, 100)), {}
    layers = default_layers(sampler, (900, 500, 100))
    keep = lambda layer, output: found.update({layer: tuple(output.shape)})  # noqa: E731
    with torch.inference_mode(), Recorder(sampler, layers, keep) as recorder:
        made = recorder.run_whole(torch.empty(1, 3 * 32 * 32, device="meta"))
    assert made.shape == (1, 3, 32, 32)
    assert list(found) == list(layers)
    assert len(layers) == 3 * (1 + 4 * 3)
    assert found["t900.mid_block"] == (1, 256, 4, 4)
    assert found["t100.up_blocks.3.resnets.2"] == (1, 128, 32, 32)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("me/ddpm-tiny?steps=5&at=800,300", r"none at timestep 300: the nearest are 400, 200, (600|0)"),
        ("me/ddpm-tiny?steps=5&at=early", r"at=early is no list of timesteps: write at=800,600,200"),
        ("me/ddpm-tiny?steps=5&at=", r"no list of timesteps"),
        ("me/ddpm-tiny?steps=0", r"takes 1 to 1000 steps"),
        ("me/ddpm-tiny?steps=1001", r"takes 1 to 1000 steps"),
        ("me/ddpm-tiny?steps=many", r"steps=many: me/ddpm-tiny takes 1 to 1000 steps"),
        ("me/ddpm-tiny?eta=1", r"no option 'eta': it knows steps, at"),
        ("me/../../secret", r"write diffusers:OWNER/NAME"),
        ("", r"write diffusers:OWNER/NAME"),
    ],
)
def test_wrong_references(tmp_path, reference, says):
    publish(tmp_path)
    with pytest.raises(InvalidRequest, match=says):
        registry.load(f"diffusers:{reference}", folders=(tmp_path,))


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, r"a UNet2DConditionModel; only an unconditional"),
        ("unet/config.json", {"num_class_embeds": 10}, r"takes classes; only an unconditional"),
        ("unet/config.json", {"class_embed_type": "timestep"}, r"takes classes"),
        ("unet/config.json", {"in_channels": 4}, r"turns 4 channels into 3; only one of RGB"),
        ("unet/config.json", {"out_channels": 6}, r"turns 3 channels into 6"),
        ("unet/config.json", {"sample_size": None}, r"sample_size None"),
        ("unet/config.json", {"sample_size": [8]}, r"sample_size"),
        ("unet/config.json", {"sample_size": 9}, r"fails at its sample_size 9 \(.*[sS]ize"),
        ("unet/config.json", {"up_block_types": ["Magic", "UpBlock2D"]}, r"cannot be built"),
        ("unet/config.json", {"block_out_channels": [4, 12]}, r"does not fit the UNet of me/ddpm-tiny: .*expected"),
        ("unet/config.json", {"layers_per_block": 2}, r"missing down_blocks\.0\.resnets\.1"),
        ("scheduler/scheduler_config.json", {"_class_name": "ScoreSdeVeScheduler"}, r"a ScoreSdeVeScheduler, whose"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, r"has 1000000000000 timesteps"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "all"}, r"has 'all' timesteps"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, r"cannot be built .*sigmoid"),
        ("scheduler/scheduler_config.json", {"steps_offset": 500}, r"take fewer steps"),
        ("model_index.json", {"vqvae": ["diffusers", "VQModel"]}, r"a DDPMPipeline with vqvae; only unconditional"),
    ],
)
def test_other_pipelines(tmp_path, part, changes, says):
    edit(publish(tmp_path) / part, **changes)
    with pytest.raises(InvalidRequest, match=says) as raised:
        load(tmp_path)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("part", ["unet/config.json", "scheduler/scheduler_config.json", "model_index.json"])
@pytest.mark.parametrize("content", ["{", "[]", "1", "[" * 100_000])
def test_broken_configurations(tmp_path, part, content):
    (publish(tmp_path) / part).write_text(content)
    with pytest.raises(InvalidRequest, match=r"copy or download it again"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("scheduler/scheduler_config.json", r"no scheduler/scheduler_config.json in"),
        (
            "unet/diffusion_pytorch_model.safetensors",
            r"no unet/diffusion_pytorch_model.safetensors in .*--weights FILE",
        ),
        ("unet/config.json", r"put the pipeline's files into .*ddpm-tiny"),
    ],
)
def test_missing_files(tmp_path, alone, file, says):
    (publish(tmp_path) / file).unlink()
    with pytest.raises(InvalidRequest, match=says) as raised:
        load(tmp_path)
    assert "\n" not in raised.value.message


def test_offline_one_line_says_the_mend(tmp_path, alone):
    with pytest.raises(InvalidRequest, match=r"could not be downloaded.*put the pipeline's files into") as raised:
        load(tmp_path, name="google/ddpm-cifar10-32")
    assert "\n" not in raised.value.message


def test_weights_of_another_network(tmp_path):
    publish(tmp_path)
    file = tmp_path / "linear.safetensors"
    save_file(nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(InvalidRequest, match=r"'linear.safetensors' does not fit the UNet of me/ddpm-tiny: missing"):
        load(tmp_path, weights=file)


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch):
    publish(tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InvalidRequest, match=r"pip install 'rosetta-neurons\[diffusion\]'"):
        load(tmp_path)
