"""Errors of the pure core. The pipelines turn them into what users see."""

from __future__ import annotations


class ShapeError(ValueError):
    """A tensor has another shape than its name promises."""


class NonFiniteError(ValueError):
    """A layer gave NaN or infinity."""

    def __init__(self, model: str, layer: str, image: int) -> None:
        self.model, self.layer, self.image = model, layer, image
        super().__init__(f"model {model}, layer {layer}: NaN or infinite activation on image {image}")


class BudgetError(ValueError):
    """The memory budget is too small for even one image and one block."""
