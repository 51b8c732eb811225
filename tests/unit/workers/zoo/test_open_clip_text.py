"""OpenCLIP's text towers, from the same weight files as the image towers; against OpenCLIP's own embeddings."""

import json

import open_clip
import pytest
import torch
from runs import images
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.zoo import registry

CPU = torch.device("cpu")
WORDS = ["glasses", "a photo of a cat", "Hair, blonde", "x" * 500]
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
VISION = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
CONFIGS = {
    "text-plain": {"vision_cfg": VISION, "text_cfg": TEXT},
    "text-quick": {"vision_cfg": VISION, "text_cfg": TEXT, "quick_gelu": True},
    "text-custom": {
        "vision_cfg": VISION,
        "text_cfg": {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
        "custom_text": True,
    },
    "coca_text": {
        "vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 8, "output_tokens": True},
        "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**TEXT, "attn_pooler_heads": 8},
        "custom_text": True,
    },
    "text-foreign": {"vision_cfg": VISION, "text_cfg": {**TEXT, "hf_tokenizer_name": "nobody/nothing"}},
}


@pytest.fixture(scope="module", autouse=True)
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 32, **config}))
    open_clip.add_model_config(folder)


@pytest.fixture
def save(tmp_path):
    def run(name):
        torch.manual_seed(0)
        model = open_clip.create_model(name, load_weights=False).eval()
        for parameter in model.parameters():  # projections begin near nothing
            torch.nn.init.normal_(parameter, std=0.1)
        file = tmp_path / "weights.safetensors"
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
        return model, file

    return run


@pytest.mark.parametrize("name", ["text-plain", "text-quick", "text-custom", "coca_text"])
def test_both_towers_embed_as_openclip_does(save, name):
    model, file = save(name)
    network = registry.load(f"open_clip:{name}", file)
    batch = images(network, 3)
    tokens = open_clip.get_tokenizer(name)(WORDS)
    with torch.inference_mode():
        expected_images = model.encode_image(batch, normalize=False)
        expected_texts = model.encode_text(tokens, normalize=False)
        found_images = network.module(batch)
    found_texts = network.texts(CPU)(WORDS)
    assert found_images.shape == (3, 32)
    assert found_texts.dtype == torch.float32
    assert torch.allclose(found_images, expected_images, atol=1e-5)
    assert torch.allclose(found_texts, expected_texts, atol=1e-5)
    assert expected_texts.std(0).mean() > 1e-3  # texts differ by more than that


def test_many_texts_are_embedded_in_batches(save, monkeypatch):
    _, file = save("text-plain")
    tower = registry.load("open_clip:text-plain", file).texts(CPU)
    whole = tower(WORDS)
    monkeypatch.setattr("workers.zoo.open_clip_text._BATCH", 3)
    assert torch.allclose(tower(WORDS), whole, atol=1e-6)


def test_a_checkpoint_of_a_training_run(save, tmp_path):
    model, file = save("text-plain")
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    of_run = registry.load("open_clip:text-plain", tmp_path / "epoch_3.pt")
    assert torch.equal(of_run.texts(CPU)(WORDS), registry.load("open_clip:text-plain", file).texts(CPU)(WORDS))


def test_an_image_tower_alone_embeds_no_text(save, tmp_path):
    model, _ = save("text-plain")
    save_file(model.visual.state_dict(), tmp_path / "visual.safetensors")
    assert registry.load("open_clip:text-plain", tmp_path / "visual.safetensors").texts is None


def test_a_text_tower_that_does_not_fit(save, tmp_path):
    model, _ = save("text-plain")
    state = {key: value for key, value in model.state_dict().items() if key != "ln_final.weight"}
    save_file(state, tmp_path / "part.safetensors")
    network = registry.load("open_clip:text-plain", tmp_path / "part.safetensors")
    with pytest.raises(InvalidRequest, match=r"does not fit the text tower of text-plain: missing ln_final\.weight"):
        network.texts(CPU)


def test_a_tokenizer_that_is_not_at_hand(save, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, file = save("text-plain")
    network = registry.load("open_clip:text-foreign", file)
    with pytest.raises(
        InvalidRequest, match="the tokenizer of text-foreign is one of the transformers package"
    ) as caught:
        network.texts(CPU)
    assert "\n" not in caught.value.message
