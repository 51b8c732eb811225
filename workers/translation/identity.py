"""What an edit of units leaves alone: the picture where none of them fires."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from workers.translation.edits import Frame
from workers.translation.interventions import Box, coverage
from workers.translation.targets import Pair, Targets

FIRES = 1.0  # deviations above its mean, where a unit is said to fire


def elsewhere(targets: Targets, frame: Frame, chosen: Callable[[Pair], bool], box: Box | None = None) -> Tensor:
    """How much each pixel lies outside of where the chosen pairs' units of the model fire, float32 [N, 1, H, W].

    As `ImageTerm.where` it keeps the picture there while the units change.

    Args:
        targets: before the edit.
        frame: of the images, H and W.
        chosen: of which pairs.
        box: only what fires in it counts; None: everywhere.
    """
    fires = torch.zeros(targets.images, 1, *frame, device=targets.layers[0].maps.device)
    for layer in targets.layers:
        for place, pair in enumerate(layer.pairs):
            if chosen(pair):
                maps = F.interpolate(layer.maps[:, place, None], size=frame, mode="bilinear", align_corners=False)
                fires = torch.maximum(fires, (maps > FIRES).to(fires))
    return 1 - (fires if box is None else fires * coverage(box, frame, frame).to(fires))
