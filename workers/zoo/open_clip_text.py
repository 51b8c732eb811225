"""The text towers of OpenCLIP models: from the weight file of the image tower, loaded when texts are to be embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.zoo import weights
from workers.zoo.base import TextTower

T = TypeVar("T")

# The text tower cannot be built without an image tower: this one is small, and is dropped at once.
_SMALL_VISION = {"image_size": 8, "layers": 1, "width": 64, "head_width": 64, "patch_size": 8}
_BATCH = 256  # texts at once


def is_in(state: weights.State) -> bool:
    """Whether a weight file has a text tower, or is of an image tower alone."""
    return any(key.endswith("token_embedding.weight") or "text" in key.split(".")[:2] for key in state)


def load(name: str, file: Path, quick_gelu: bool, device: torch.device) -> TextTower:
    """The text tower of a model, with its tokenizer.

    Args:
        name: of OpenCLIP's configuration.
        file: the weights, those of the image tower too.
        quick_gelu: whether it was trained with that approximation.
        device: where texts are to be embedded.

    Raises:
        InvalidRequest: when it does not fit the file, or takes files that are not at hand.
    """
    config = open_clip.get_model_config(name)
    tokenize = _at_hand(name, "tokenizer", lambda: open_clip.get_tokenizer(name))
    model = _at_hand(
        name,
        "text tower",
        lambda: open_clip.CustomTextCLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=_SMALL_VISION,
            text_cfg={**config["text_cfg"], "hf_model_pretrained": False},
            quick_gelu=quick_gelu,
        ),
    )
    wanted = [f"text.{key}" for key in model.text.state_dict()]
    state = weights.strip_prefix(weights.read_state(file), [*wanted, *(key.removeprefix("text.") for key in wanted)])
    state = convert_to_custom_text_state_dict(state)
    text = {key.removeprefix("text."): tensor for key, tensor in state.items() if key.startswith("text.")}
    weights.fit(model.text, text, file=file.name, architecture=f"the text tower of {name}")
    tower = model.text.eval().requires_grad_(False).float().to(device)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Tensor:
        batches = [list(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        outputs = [tower(tokenize(batch).to(device)) for batch in batches]
        # CoCa's tower gives its tokens too.
        return torch.cat([output[0] if isinstance(output, tuple) else output for output in outputs])

    return embed


def _at_hand(name: str, what: str, make: Callable[[], T]) -> T:
    """What `make` gives.

    Raises:
        InvalidRequest: when it takes a package or files of a hub that are not here.
    """
    try:
        return make()
    except Exception as error:  # a missing package, an unreachable hub: whatever it is, the mend is the same
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InvalidRequest(
            f"the {what} of {name} is one of the transformers package, and not at hand ({reason}): install "
            "transformers, let this worker reach the hub once, or choose a model with OpenCLIP's own, such as ViT-B-32",
            model=name,
        ) from error
