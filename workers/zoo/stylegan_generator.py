"""What all StyleGANs share: from z, w or w+ to an image, with truncation."""

from __future__ import annotations

from torch import Tensor, nn

from rosetta.errors import InvalidRequest


class StyleGenerator(nn.Module):
    """Latents to images; called as `workers.zoo.stylegan_built.Built` says."""

    def __init__(self, mapping: nn.Module, synthesis: nn.Module, styles: int) -> None:
        """Puts both halves together.

        Args:
            mapping: (z [N, Z], labels [N] or None) to w [N, W]; its `mean(labels)` is the mean w, [W] or [N, 1, W].
            synthesis: w+ [N, L, W] to images; L is its `num_ws`.
            styles: W.
        """
        super().__init__()
        self.mapping, self.synthesis, self.styles = mapping, synthesis, styles

    def forward(
        self, values: Tensor, labels: Tensor | None = None, truncation: float | None = None, space: str = "z"
    ) -> Tensor:
        """Images, float32 [N, colours, H, H], in about [-1, 1]."""
        ws = self.mapping(values, labels) if space == "z" else values
        if ws.ndim == 2:
            ws = ws[:, None].expand(-1, self.synthesis.num_ws, -1)
        if ws.shape[1:] != (self.synthesis.num_ws, self.styles):
            raise InvalidRequest(
                f"{space} of shape {list(values.shape[1:])} came: this generator takes w of [{self.styles}] "
                f"and w+ of [{self.synthesis.num_ws}, {self.styles}]"
            )
        if truncation is not None:
            ws = self.mapping.mean(labels).lerp(ws, truncation)
        return self.synthesis(ws)
