"""StyleGAN3 from its pickles: images and recorded layers against plain arithmetic in float64, and real sizes."""

from dataclasses import replace

import numpy as np
import pickles
import pytest
import torch
from runs import maps
from stylegan3_files import REAL, Tiny, draw, large, persistent, shapes
from stylegan3_reference import Reference

from rosetta.errors import InvalidRequest
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import records, registry, stylegan3, weights
from workers.zoo.base import Latents, LatentSpace

VARIANTS = {
    "t": Tiny(),
    "r": Tiny(kernel=1, radial=True),
    "classes": Tiny(classes=4),
    "clamped": Tiny(clamp=0.5, scale=1.0),
    "never clamped": Tiny(clamp=None),
    "one layer of the mapping, another rate, gray": Tiny(depth=1, rate=0.1, colours=1, resolution=16),
    "other filters": Tiny(filter_size=4, oversampling=3, margin=3),
    "no oversampling": Tiny(oversampling=1, margin=0),
    "nothing critical": Tiny(critical=0, layers=3, kernel=5),
}


def written(folder, tiny=VARIANTS["t"], state=None, **more):
    content = pickles.checkpoint(persistent(tiny, state or draw(tiny), **more))
    return pickles.write(folder / "network.pkl", content)


def load(file, options=""):
    return registry.load(f"stylegan:{file}{options}")


def latents(tiny, count=3, **options):
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(count) % tiny.classes if tiny.classes else None
    return Latents(torch.randn(count, tiny.z, generator=generator), classes=classes, **options)


def images(network, given):
    with torch.inference_mode():
        return network.module(*network.inputs(given))


def close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def outputs(network, given):
    """{layer: output} as the module gives it."""
    found, hooks = {}, []
    for layer in network.layers:
        module = network.module.get_submodule(layer)
        hooks.append(module.register_forward_hook(lambda _m, _i, output, layer=layer: found.update({layer: output})))
    images(network, given)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_and_layers_are_the_papers(tmp_path, variant):
    tiny = VARIANTS[variant]
    state = draw(tiny)
    network = load(written(tmp_path, tiny, state))
    given = latents(tiny)
    found, recorded = images(network, given), outputs(network, given)
    assert found.shape == (3, tiny.colours, tiny.resolution, tiny.resolution)
    *places, _ = tiny.places
    assert network.layers == tuple(f"synthesis.{name}" for name in places)
    reference = Reference(tiny, state)
    for index, z in enumerate(given.values):
        close(found[index], reference.image(z, int(given.classes[index]) if tiny.classes else None))
        for name in network.layers:
            close(recorded[name][index], reference.outputs[name])


def test_the_clamp_acts():
    """The variants above would not tell otherwise."""
    tiny, free = VARIANTS["clamped"], replace(VARIANTS["clamped"], clamp=None)
    state, z = draw(tiny), latents(tiny).values[0]
    assert np.abs(Reference(tiny, state).image(z) - Reference(free, state).image(z)).max() > 0.01


def test_truncation_and_the_three_spaces(tmp_path):
    tiny = Tiny()
    state = draw(tiny)
    network = load(written(tmp_path, tiny, state))
    assert network.latents.styles == (6, 6)
    reference = Reference(tiny, state)
    given = latents(tiny)
    ws = torch.from_numpy(np.stack([reference.mapping(z.double().numpy()) for z in given.values])).float()
    for psi in (None, 1.0, 0.5):
        from_z = images(network, replace(given, truncation=psi))
        close(from_z[1], reference.image(given.values[1], psi=psi or 1))
        close(images(network, Latents(ws, "w", truncation=psi)), from_z)
    mixed = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(1))
    found = images(network, Latents(mixed, "w+"))
    for index in range(2):
        close(found[index], reference.synthesis(list(mixed[index].numpy())))
    with pytest.raises(InvalidRequest, match=r"takes w of \[6\] and w\+ of \[6, 6\]"):
        images(network, Latents(mixed[:, :5], "w+"))


def test_images_do_not_depend_on_their_batch(tmp_path):
    tiny = Tiny(classes=3)
    network = load(written(tmp_path, tiny))
    given = latents(tiny, 5)
    far = replace(given, values=torch.cat([given.values[:1], given.values[1:] * 1e4]))
    together = images(network, given)
    close(images(network, far)[0], together[0])
    for index in range(5):
        alone = Latents(given.values[index : index + 1], classes=given.classes[index : index + 1])
        close(images(network, alone)[0], together[index])


def test_maps_show_the_image_without_what_is_around_it(tmp_path):
    tiny = Tiny()
    network = load(written(tmp_path))
    given = latents(tiny)
    whole, found = outputs(network, given), maps(network, *network.inputs(given))
    assert {layer: output.shape[-1] for layer, output in whole.items()} == dict(
        zip(network.layers, (20, 20, 36, 32), strict=True)
    )
    for layer, side, margin in zip(network.layers, (16, 16, 32, 32), (2, 2, 2, 0), strict=True):
        assert found[layer].shape[2:] == (side, side)
        assert torch.equal(found[layer], whole[layer][:, :, margin : margin + side, margin : margin + side])
    others = maps(network, *network.inputs(given), layers=["synthesis.input", "synthesis.L0_20_4.affine"])
    assert [tuple(one.shape) for one in others.values()] == [(3, 4, 16, 16), (3, 4, 1, 1)]


def test_a_generator_makes_probes(tmp_path):
    tiny = Tiny(classes=3)
    file = written(tmp_path, tiny)
    network = load(file)
    assert network.latents == LatentSpace(dimensions=5, height=32, width=32, classes=3, styles=(6, 6))
    assert network.family == "stylegan"
    assert {"stylegan3", "stylegan 3", "stylegan3-t"} <= set(network.aliases)
    assert network.details == {"architecture": "StyleGAN3-t (32 x 32)", "noise": "none"}
    assert network.weights_digest == weights.digest_files([file])
    assert not any(parameter.requires_grad for parameter in network.module.parameters())
    layers = trace(network, network.layers, "gan")
    assert [(layer.channels, layer.height) for layer in layers] == [(4, 16), (4, 16), (4, 32), (2, 32)]
    chosen = GeneratorProbes(network, seed=1, count=4, truncation=0.5).latents([0, 3])
    shown = network.images(images(network, chosen))
    assert shown.shape == (2, 3, 32, 32)
    assert 0 <= shown.min() < shown.max() <= 1
    with pytest.raises(InvalidRequest, match="takes no noise: leave noise=3 out"):
        load(file, "?noise=3")
    with pytest.raises(InvalidRequest, match="this generator has 3 classes: name one for each image"):
        network.module(torch.zeros(1, 5))


def test_half_precision_runs_in_float32(tmp_path):
    state = {name: tensor.half() if "L3" in name else tensor for name, tensor in draw(Tiny()).items()}
    network = load(written(tmp_path, state=state))
    assert {tensor.dtype for tensor in network.module.state_dict().values()} == {torch.float32}


# As the published files list them.
T_1024 = [
    "L0_36_512", "L1_36_512", "L2_52_512", "L3_52_512", "L4_84_512", "L5_148_512", "L6_148_512", "L7_276_323",
    "L8_276_203", "L9_532_128", "L10_1044_81", "L11_1044_51", "L12_1044_32", "L13_1024_32", "L14_1024_3",
]  # fmt: skip
R_1024 = [
    "L0_36_1024", "L1_36_1024", "L2_52_1024", "L3_52_1024", "L4_84_1024", "L5_148_1024", "L6_148_1024", "L7_276_645",
    "L8_276_406", "L9_532_256", "L10_1044_161", "L11_1044_102", "L12_1044_64", "L13_1024_64", "L14_1024_3",
]  # fmt: skip
PUBLISHED = {
    "t": (Tiny(resolution=1024, **REAL), T_1024, 22_313_167),
    "r": (
        Tiny(resolution=1024, **REAL | {"base": 65536, "most": 1024, "kernel": 1, "radial": True}),
        R_1024,
        15_093_151,
    ),
}


@pytest.mark.parametrize("config", PUBLISHED)
def test_the_real_sizes_of_1024_pixels(tmp_path, config):
    tiny, names, parameters = PUBLISHED[config]
    # The published files give no more options than those that differ from the defaults.
    record = persistent(tiny, large(tiny))
    given = {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": 1024, "img_channels": 3}
    given |= {"mapping_kwargs": pickles.EasyDict(num_layers=2), "magnitude_ema_beta": 0.9989}
    given |= {"channel_base": 32768, "channel_max": 512}
    if config == "r":
        given |= {"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True}
    record.state["_init_kwargs"] = pickles.EasyDict(given)
    network = load(pickles.write(tmp_path / "network.pkl", pickles.checkpoint(record)))
    assert network.layers == tuple(f"synthesis.{name}" for name in names[:-1])
    assert {name: tuple(one.shape) for name, one in network.module.state_dict().items()} == shapes(tiny)
    assert sum(parameter.numel() for parameter in network.module.parameters()) == parameters
    if config == "r":  # 5600: what the original's own summary says of its buffers
        assert sum(buffer.numel() for buffer in network.module.buffers()) == 5600
    assert network.latents == LatentSpace(dimensions=512, height=1024, width=1024, styles=(16, 512))
    network.module.to("meta")
    sides = {name: one.shape[-1] for name, one in outputs(network, Latents(torch.zeros(1, 512, device="meta"))).items()}
    assert list(sides.values()) == [int(name.split("_")[1]) for name in names[:-1]]


def test_a_generator_of_arguments_has_its_filters():
    """Built without a file, a layer's filters are the published ones."""
    content = persistent(Tiny(radial=True), draw(Tiny(radial=True)))
    layers = stylegan3.published_layers(records.Record("Generator", content.state), "file")
    module = stylegan3.Synthesis(layers, styles=6)
    sums = [buffer.sum().item() for name, buffer in module.named_buffers() if name.endswith("_filter")]
    assert len(sums) == 8
    assert sums == pytest.approx([1] * 8)


def _misfits(tiny=VARIANTS["t"]):
    state = draw(tiny)
    wide = state | {"synthesis.L1_20_4.weight": torch.zeros(9, 4, 3, 3)}
    extra, less = persistent(tiny, state), persistent(tiny, state)
    extra.state["_modules"]["attention"] = pickles.module("Attention", parameters={"query": torch.zeros(2)})
    del less.state["_modules"]["synthesis"].state["_buffers"]
    silent = persistent(tiny, state)
    del silent.state["_init_kwargs"]
    return {
        "another shape": (
            persistent(tiny, wide),
            r"'network.pkl' does not fit StyleGAN3-t \(32 x 32\): synthesis.L1_20_4.weight is \[9, 4, 3, 3\], "
            r"expected \[4, 4, 3, 3\]",
        ),
        "more": (extra, r"does not fit StyleGAN3-t \(32 x 32\): unexpected attention.query"),
        "other sizes": (
            persistent(tiny, state, channel_max=3),
            r"missing synthesis.L0_20_3.weight \(and \d+ more\); unexpected synthesis.L0_20_4.weight \(and \d+ more\)",
        ),
        "no module": (less, "the file's SynthesisNetwork has no _buffers: it is another kind of network"),
        "no arguments": (silent, "the file's Generator has no _init_kwargs: it is another kind of network"),
        "an unknown option": (
            persistent(tiny, state, attention=True),
            "'network.pkl' was made with the option attention, which the published StyleGAN3 does not have",
        ),
        "no size": (persistent(tiny, state, img_resolution=None), "the file says img_resolution=None, which no"),
        "text": (persistent(tiny, state, channel_base="32k"), "the file says channel_base=32k, which no StyleGAN3 has"),
        "not a number": (persistent(tiny, state, first_cutoff=float("nan")), "the file says first_cutoff=nan, which"),
        "half a layer": (persistent(tiny, state, num_layers=4.5), "the file says num_layers=4.5, which no StyleGAN3"),
        "huge": (persistent(tiny, state, num_layers=10**9), "the file says num_layers=1000000000, which no StyleGAN3"),
        "all critical": (persistent(tiny, state, num_critical=4), "the file says num_critical=4 of num_layers=4"),
        "no flag": (persistent(tiny, state, use_radial_filters=1), "the file says use_radial_filters=1, which no"),
        "long filters": (
            persistent(tiny, state, first_stopband=0.6, filter_size=64, lrelu_upsampling=8),
            r"the file's layer L\d_\d+_\d has filters of more than 1024 taps",
        ),
        "slow": (persistent(tiny, state, first_stopband=0.1), r"the file's layer L0_4_4 goes from rate 0 to 0"),
    }


@pytest.mark.parametrize("kind", _misfits())
def test_other_files_get_one_line_that_names_what_does_not_fit(tmp_path, kind):
    content, message = _misfits()[kind]
    with pytest.raises(InvalidRequest, match=message) as error:
        load(pickles.write(tmp_path / "network.pkl", {"G_ema": content}))
    assert "\n" not in str(error.value)
