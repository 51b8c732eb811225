"""A diffusion sampler as one module, whose paths say at which timestep the UNet ran."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

_UP_BLOCK_OUTPUT = re.compile(r"up_blocks\.\d+\.resnets\.\d+")


class Sampler(nn.Module):
    """Noise to images by DDIM without noise of its own (Song et al. 2021, equation 12 with sigma 0).

    Its children are the UNet, `unet`, and for each stated timestep T another view of it, `tT`, that runs in its
    place at that timestep: what `t500.mid_block` gives is the middle block's output at timestep 500. The views have
    modules of their own and the very same parameters.
    """

    def __init__(self, unet: nn.Module, scheduler: Any, shape: tuple[int, int, int], stated: Sequence[int]) -> None:
        """Views are made of the UNet as it is: its weights are loaded.

        Args:
            unet: a `UNet2DModel`, without classes.
            scheduler: a `DDIMScheduler` whose timesteps are set.
            shape: of an image: channels, height, width.
            stated: timesteps, each one of the scheduler's.
        """
        super().__init__()
        self.unet = unet
        self.timesteps: tuple[int, ...] = tuple(scheduler.timesteps.tolist())
        self._scheduler, self._shape = scheduler, shape
        for timestep in self.timesteps:
            if timestep in stated:
                self.add_module(view_name(timestep), _view(unet))

    def forward(self, z: Tensor) -> Tensor:
        """Images, float32 [N, C, H, W] in about [-1, 1], of initial noise [N, C H W]."""
        sample = z.unflatten(1, self._shape) * self._scheduler.init_noise_sigma
        for timestep in self.timesteps:
            unet = self._modules.get(view_name(timestep)) or self.unet
            predicted = unet(sample, timestep).sample
            sample = self._scheduler.step(predicted, timestep, sample, eta=0.0).prev_sample
        return sample


def view_name(timestep: int) -> str:
    """The child that runs at a stated timestep, such as `t500`."""
    return f"t{timestep}"


def _view(module: nn.Module) -> nn.Module:
    """A module of the same structure and the same parameters and buffers: not copies, the tensors themselves."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo=shared)


def default_layers(sampler: Sampler, stated: Sequence[int]) -> tuple[str, ...]:
    """At each stated timestep the output of the middle block, and of each residual block on the way up."""
    paths = [path for path, _ in sampler.unet.named_modules()]
    up = [path for path in paths if _UP_BLOCK_OUTPUT.fullmatch(path)]
    middle = [path for path in paths if path == "mid_block"]  # some have none
    # Modules list the way up before the middle; it runs after it.
    ran = [timestep for timestep in sampler.timesteps if timestep in stated]
    return tuple(f"{view_name(timestep)}.{path}" for timestep in ran for path in (*middle, *up))
