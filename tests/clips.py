"""A small CLIP of random weights that tells images and texts apart as a trained one would."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

NAME = "tiny-clip"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


def write_clip(configs: Path, weights: Path) -> torch.nn.Module:
    """The network, known to OpenCLIP as `tiny-clip`; its weights are in the file."""
    (configs / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(configs)
    torch.manual_seed(0)
    model = open_clip.create_model(NAME, load_weights=False).eval()
    with torch.no_grad():
        # Tokens of no content of their own, so that each output is what the attention gathers.
        for same in (model.visual.class_embedding, model.visual.positional_embedding, model.positional_embedding):
            same.zero_()
        torch.nn.init.normal_(model.visual.conv1.weight, std=1.0)
        torch.nn.init.normal_(model.token_embedding.weight, std=1.0)
        model.token_embedding.weight[-2:] = 0  # start and end of a text
        for projection in (model.visual.proj, model.text_projection):
            torch.nn.init.normal_(projection, std=0.1)
        for block in (*model.visual.transformer.resblocks, *model.transformer.resblocks):
            torch.nn.init.normal_(block.attn.in_proj_weight, std=0.3)
            torch.nn.init.normal_(block.attn.out_proj.weight, std=0.3)
    save_file(model.state_dict(), weights)
    return model
