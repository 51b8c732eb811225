"""StyleGAN-XL from its pickles: stems, heads grown onto them, classes with a pretrained embedding."""

from dataclasses import replace

import numpy as np
import pickles
import pytest
import torch
from stylegan3_files import REAL, Tiny, draw, large, persistent, shapes
from stylegan3_reference import Reference
from test_stylegan3 import close, images, latents, outputs, written
from torch import nn

from rosetta.errors import InvalidRequest
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import registry
from workers.zoo.base import Latents, LatentSpace

STEM = Tiny(resolution=16, layers=4, critical=2, table=(7, 3), depth=2)
VARIANTS = {
    "stem with classes": replace(STEM, classes=4),
    "stem without classes": STEM,
    "grown once": replace(STEM, classes=4, grown=((2, 4),)),
    "grown twice": replace(STEM, classes=7, grown=((2, 4), (2, 3))),
    "grown by 4 without classes": replace(STEM, grown=((4, 3),)),
    "r, clamped": replace(STEM, classes=2, grown=((2, 3),), kernel=1, radial=True, clamp=0.5),
    "other filters": replace(STEM, grown=((2, 3),), filter_size=4, oversampling=1, rate=0.1, depth=1),
}


def load(file):
    return registry.load(f"stylegan:{file}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_and_layers_are_the_papers(tmp_path, variant):
    tiny = VARIANTS[variant]
    state = draw(tiny)
    network = load(written(tmp_path, tiny, state))
    given = latents(tiny)
    found, recorded = images(network, given), outputs(network, given)
    assert found.shape == (3, 3, tiny.side, tiny.side)
    *places, _ = tiny.places
    assert network.layers == tuple(f"synthesis.{name}" for name in places)
    reference = Reference(tiny, state)
    for index, z in enumerate(given.values):
        close(found[index], reference.image(z, int(given.classes[index]) if tiny.classes else None))
        for name in network.layers:
            close(recorded[name][index], reference.outputs[name])


def test_the_discriminator_beside_it_does_not_matter(tmp_path):
    """Its features are of a vision transformer with hooks and methods, which dill wrote with their code."""
    tiny = VARIANTS["grown once"]
    state = draw(tiny)
    hook = pickles.dill_function("get_activation.<locals>.hook")
    features = pickles.module("VisionTransformer", _forward_hooks={3: hook})
    features.state["forward_flex"] = pickles.Call(pickles.Call(pickles.DILL["_load_type"], "MethodType"), hook)
    features.state["_resize_pos_embed"] = pickles.Call(getattr, pickles.module("VisionTransformer"), "_resize")
    score = nn.utils.spectral_norm(nn.Conv2d(2, 3, 1))
    discriminator = pickles.module("ProjectedDiscriminator", modules={"features": features, "score": score})
    generator = persistent(tiny, state)
    progress = {"cur_nimg": torch.tensor([5]), "best_fid": pickles.old_dill(np.float64(2.5))}
    content = {"G": generator, "D": discriminator, "G_ema": generator, "augment_pipe": None, "progress": progress}
    network = load(pickles.write(tmp_path / "network.pkl", content))
    given = latents(tiny, 1)
    close(images(network, given)[0], Reference(tiny, state).image(given.values[0], 0))


def test_the_first_head_leaves_a_number_out():
    assert list(VARIANTS["grown twice"].places) == [
        "L0_20_4", "L1_20_4", "L3_20_4", "L4_36_4", "L5_36_4", "L6_68_1", "L7_64_1", "L8_64_3"
    ]  # fmt: skip


@pytest.mark.parametrize("variant", ["stem with classes", "grown twice"])
def test_each_class_is_truncated_towards_its_own_mean(tmp_path, variant):
    tiny = VARIANTS[variant]
    state = draw(tiny)
    network = load(written(tmp_path, tiny, state))
    reference = Reference(tiny, state)
    given = latents(tiny, 4, truncation=0.4)
    ws = [reference.mapping(z.double().numpy(), label) for label, z in enumerate(given.values)]
    found = images(network, given)
    for label, z in enumerate(given.values):
        close(found[label], reference.image(z, label, psi=0.4))
    styles = torch.from_numpy(np.stack(ws)).float()
    close(images(network, Latents(styles, "w", given.classes, 0.4)), found)
    many = styles[:, None].expand(-1, network.latents.styles[0], -1)
    close(images(network, Latents(many, "w+", given.classes, 0.4)), found)
    with pytest.raises(InvalidRequest, match=rf"this generator has {tiny.classes} classes: name one for each image"):
        images(network, Latents(styles, "w", None, 0.4))
    assert images(network, Latents(styles, "w")).isfinite().all()  # without truncation no class is asked


def test_without_classes_there_is_one_mean(tmp_path):
    tiny = VARIANTS["grown by 4 without classes"]
    state = draw(tiny)
    network = load(written(tmp_path, tiny, state))
    given = latents(tiny, truncation=0.4)
    reference = Reference(tiny, state)
    for index, image in enumerate(images(network, given)):
        close(image, reference.image(given.values[index], psi=0.4))


def test_a_generator_makes_probes(tmp_path):
    network = load(written(tmp_path, VARIANTS["grown twice"]))
    assert network.latents == LatentSpace(dimensions=5, height=64, width=64, classes=7, styles=(9, 6))
    assert network.family == "stylegan"
    assert network.aliases == ("stylegan-xl", "stylegan xl")
    assert network.details == {"architecture": "StyleGAN-XL (64 x 64)", "noise": "none"}
    layers = trace(network, network.layers, "gan")
    assert [layer.height for layer in layers] == [16, 16, 16, 32, 32, 64, 64]
    chosen = GeneratorProbes(network, seed=1, count=4, truncation=0.5, class_index=6).latents([0, 3])
    assert chosen.classes.tolist() == [6, 6]
    shown = network.images(images(network, chosen))
    assert shown.shape == (2, 3, 64, 64)
    assert 0 <= shown.min() < shown.max() <= 1


REAL_STEM = {**REAL, "layers": 10, "z": 64, "base": 65536, "most": 1024, "table": (1000, 320)}
PUBLISHED = {
    "imagenet16": (Tiny(resolution=16, classes=1000, **REAL_STEM), 10, (12, 512)),
    "imagenet256": (Tiny(resolution=16, classes=1000, grown=((2, 7), (2, 7), (4, 7)), **REAL_STEM), 25, (27, 512)),
    "imagenet1024": (
        Tiny(resolution=16, classes=1000, grown=((2, 7), (2, 7), (2, 7), (2, 7), (4, 7)), **REAL_STEM),
        35,
        (37, 512),
    ),
    "pokemon256": (Tiny(resolution=16, grown=((4, 7), (4, 7)), **REAL_STEM), 20, (22, 512)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_sizes(tmp_path, name):
    tiny, layers, styles = PUBLISHED[name]
    network = load(written(tmp_path, tiny, large(tiny)))
    assert len(network.layers) == layers
    assert network.layers[:2] == ("synthesis.L0_36_1024", "synthesis.L1_36_1024")
    assert {key: tuple(one.shape) for key, one in network.module.state_dict().items()} == shapes(tiny)
    classes = 1000 if tiny.classes else None
    assert network.latents == LatentSpace(64, tiny.side, tiny.side, classes=classes, styles=styles)
    network.module.to("meta")
    given = Latents(torch.zeros(2, 64, device="meta"), classes=torch.zeros(2, dtype=torch.int64, device="meta"))
    assert images(network, given).shape == (2, 3, tiny.side, tiny.side)
    assert network.module(given.values, given.classes, 0.5).shape == (2, 3, tiny.side, tiny.side)


def _misfits():
    tiny = VARIANTS["grown once"]
    state = draw(tiny)

    def changed(change):
        content = persistent(tiny, state)
        change(content.state["_modules"]["synthesis"].state)
        return content

    def layer(state, name="L1_20_4"):
        return state["_modules"][name].state

    wide = state | {"mapping.embed_proj.weight": torch.zeros(5, 9)}
    return {
        "another embedding": (
            persistent(tiny, wide),
            r"'network.pkl' does not fit StyleGAN-XL \(32 x 32\): mapping.embed_proj.weight is \[5, 9\], expected \[5",
        ),
        "a layer less": (
            changed(lambda synthesis: synthesis["layer_names"].remove("L0_20_4")),
            r"does not fit StyleGAN-XL \(32 x 32\): unexpected synthesis.L0_20_4.weight \(and \d more\)",
        ),
        "a layer that is not there": (
            changed(lambda synthesis: synthesis["layer_names"].append("L9_9_9")),
            "the file's SynthesisNetwork has no L9_9_9",
        ),
        "a module of another name": (
            changed(lambda synthesis: synthesis["layer_names"].append("__class__")),
            "the file's layer_names are none of StyleGAN3",
        ),
        "no layers": (changed(lambda synthesis: synthesis["layer_names"].clear()), "layer_names are none of"),
        "another order": (
            changed(lambda synthesis: synthesis["layer_names"].reverse()),
            r"the file's layer L6_32_2 takes 2 maps of 36 x 36, and the one before gives 3 of 32 x 32",
        ),
        "a size of two numbers": (
            changed(lambda synthesis: layer(synthesis).update(in_size=pickles.DillArray(np.array([20, 21])))),
            r"the file says in_size=\[20 21\], which no StyleGAN3 has",
        ),
        "no rate": (
            changed(
                lambda synthesis: [
                    options.pop("in_sampling_rate") for options in (layer(synthesis), layer(synthesis)["_init_kwargs"])
                ]
            ),
            "the file does not say its in_sampling_rate: it is no StyleGAN3",
        ),
        "a rate that does not divide": (
            changed(lambda synthesis: layer(synthesis, "L0_20_4").update(in_sampling_rate=5)),
            "the file's layer L0_20_4 goes from rate 5 to 16",
        ),
    }


@pytest.mark.parametrize("kind", _misfits())
def test_other_files_get_one_line_that_names_what_does_not_fit(tmp_path, kind):
    content, message = _misfits()[kind]
    with pytest.raises(InvalidRequest, match=message) as error:
        load(pickles.write(tmp_path / "network.pkl", {"G_ema": content}))
    assert "\n" not in str(error.value)
