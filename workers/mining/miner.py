"""Mining: every unit of every model against every unit of the others, exactly, in one pass when memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import torch
from torch import Tensor

from workers.mining.exemplars import Exemplars
from workers.mining.layout import ModelLayout, noise_layout
from workers.mining.mining_pass import MiningPass, PairState
from workers.mining.neighbours import Neighbours, best_buddies, reciprocal_ranks
from workers.mining.plan import Pass, plan
from workers.mining.significance import q_values
from workers.mining.sketches import DIMENSIONS, SIDE
from workers.mining.stream import Shifts

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Direction:
    """One model's units and their matches in the other.

    Attributes:
        neighbours: best first.
        reciprocal_rank: int64 [U, K], 0 beyond the kept ones.
        q_value: float32 [U, K], NaN where there is no neighbour, or no null was taken.
    """

    neighbours: Neighbours
    reciprocal_rank: Tensor
    q_value: Tensor


@dataclass(frozen=True)
class PairResult:
    """A compared pair: both directions, and how many best buddies there are, are significant, and chance gives.

    Without a null none is significant, and what chance gives is NaN.
    """

    forward: Direction
    backward: Direction
    best_buddies: int
    significant_best_buddies: int
    chance_best_buddies: float


@dataclass(frozen=True)
class Profile:
    """One model over the probe set, by unit number.

    Attributes:
        mean, std, minimum, maximum: float64 [U], at the units' own grids.
        dead: bool [U].
        sketches: float16 [U, D], NaN rows for dead units; None when they were not asked for.
        by_maximum, by_mean: exemplars, taken along with the sketches; else None.
    """

    mean: Tensor
    std: Tensor
    minimum: Tensor
    maximum: Tensor
    dead: Tensor
    sketches: Tensor | None
    by_maximum: Exemplars | None = None
    by_mean: Exemplars | None = None


class Miner:
    """A mining job's statistics. Run each of `passes` over all images, then take `pair` and `profile`.

    for part in miner.passes:
        running = miner.start(part)
        for positions in batches(miner.order, part.batch):
            for model in part.models: ... running.write(model, layer, maps)
            running.finish_batch(positions)
        miner.finish(running)
    """

    def __init__(
        self,
        models: Sequence[ModelLayout],
        pairs: Sequence[tuple[int, int]],
        sketched: Sequence[int],
        images: int,
        probe_digest: str,
        *,
        keep: int = 10,
        permutations: int = 4,
        budget: int = 4 * 2**30,
        device: torch.device | str = "cpu",
    ) -> None:
        """Plan the passes.

        Args:
            models: layouts of all models.
            pairs: whom to compare, by places in `models`.
            sketched: whose sketches to take.
            images: N, at least 2.
            probe_digest: seeds the order of visits and the sketches.
            keep: neighbours to keep, K.
            permutations: of the null; at most N - 1 are taken. 0: no null, so no q-values either.
            budget: bytes beside the models.
            device: where to accumulate.
        Raises:
            BudgetError: when the budget is too small.
            ValueError: with fewer than two images.
        """
        if images < 2:
            raise ValueError(f"mining needs at least 2 images, got {images}")
        self.models, self.pairs = tuple(models), tuple(pairs)
        self.permutations = min(permutations, images - 1)
        self.device = torch.device(device)
        self.noise = noise_layout(DIMENSIONS, SIDE)
        self.probe_digest, self.images = probe_digest, images
        self.passes: list[Pass] = plan(models, self.noise, pairs, sketched, images, self.permutations, budget)
        self._shifts = [Shifts() for _ in models]
        self._profiles: dict[int, Profile] = {}
        self._sketches = {
            place: torch.full((models[place].units, DIMENSIONS), torch.nan, dtype=torch.float16) for place in sketched
        }
        self._pairs = {
            (a, b): PairState(self.models[a], self.models[b], keep, self.permutations, self.device)
            for a, b in self.pairs
        }

    @property
    def order(self) -> Tensor:
        """int64 [N]: positions in the order of visits, at random by the probe set's digest.

        The null sets an image against the one visited just before; in a folder's own order these may be alike.
        """
        seed = int.from_bytes(self.probe_digest.encode()[:7], "little")
        return torch.randperm(self.images, generator=torch.Generator().manual_seed(seed))

    def start(self, part: Pass) -> MiningPass:
        """Begin a pass."""
        return MiningPass(
            part,
            self.models,
            self.noise,
            self._shifts,
            self.probe_digest,
            self.permutations,
            self.device,
        )

    def finish(self, running: MiningPass) -> None:
        """Take the results of a pass that has seen all images.

        Raises:
            ValueError: when it has not.
        """
        if running.seen != self.images:
            raise ValueError(f"the pass has seen {running.seen} of {self.images} images")
        running.close()
        for place in running.part.models:
            if place not in self._profiles:
                self._profiles[place] = Profile(**running.unit_moments(place), sketches=self._sketches.get(place))
            if (found := running.exemplars(place)) and self._profiles[place].by_maximum is None:
                self._profiles[place] = replace(self._profiles[place], by_maximum=found[0], by_mean=found[1])
        running.fill_sketches(self._sketches)
        running.fill_pairs(self._pairs)

    def profile(self, place: int) -> Profile:
        """A model's statistics and sketches."""
        return self._profiles[place]

    def pair(self, a: int, b: int) -> PairResult:
        """A pair's matches, both ways."""
        state = self._pairs[a, b]
        forward, backward = state.top.result()
        chance = [part.result() for part in state.null]
        directions = []
        for way, (mine, theirs) in enumerate(((forward, backward), (backward, forward))):
            q = _judged(mine, [part[way] for part in chance])
            directions.append(Direction(mine, reciprocal_ranks(mine.index, theirs.index), q))
        buddies = best_buddies(forward.index, backward.index)
        q_both = torch.maximum(directions[0].q_value[buddies[:, 0], 0], directions[1].q_value[buddies[:, 1], 0])
        by_chance = [len(best_buddies(mine.index, theirs.index)) for mine, theirs in chance]
        return PairResult(
            directions[0],
            directions[1],
            best_buddies=len(buddies),
            significant_best_buddies=int((q_both < SIGNIFICANT).sum()),
            chance_best_buddies=sum(by_chance) / len(by_chance) if by_chance else nan,
        )


def _judged(found: Neighbours, chance: Sequence[Neighbours]) -> Tensor:
    """q-values of matches against those of each permutation, float32 [U, K]; all NaN without a permutation."""
    if not chance:
        return torch.full_like(found.correlation, torch.nan)
    null = torch.cat([part.correlation[:, 0] for part in chance])
    return q_values(found.correlation, found.correlation[:, 0], null)
