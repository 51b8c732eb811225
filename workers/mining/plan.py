"""Which blocks of which pairs are accumulated in which pass over the images, so that a memory budget holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.mining.buffers import GroupBuffer
from workers.mining.errors import BudgetError
from workers.mining.layout import ModelLayout
from workers.mining.products import accumulator_bytes
from workers.mining.resize import Grid, common, joint

# Beside accumulators and buffers: product temporaries, a block of r and what ranks it.
SCRATCH_BYTES = 256 * 2**20
_BATCH = 32


@dataclass(frozen=True)
class Block:
    """Some rows (first model, in group order) of a pair of models, by their places in the job's list.

    `second` is None where the first model is sketched: its partner is the projection.
    """

    first: int
    second: int | None
    rows: slice


@dataclass(frozen=True)
class Pass:
    """One pass over the images: its blocks, the models that run, and at most how many images at once."""

    blocks: tuple[Block, ...]
    models: tuple[int, ...]
    batch: int


def common_grids(model: ModelLayout, partners: Sequence[ModelLayout]) -> list[tuple[Grid, ...]]:
    """For each group of the model, the distinct grids it meets its partners' groups at."""
    return [
        tuple(dict.fromkeys(common(group.grid, other.grid) for partner in partners for other in partner.groups))
        for group in model.groups
    ]


def joint_grids(model: ModelLayout, partners: Sequence[ModelLayout]) -> list[tuple[Grid, ...]]:
    """For each group of the model, the distinct grids its correlations are defined on."""
    return [
        tuple(dict.fromkeys(joint(group.grid, other.grid) for partner in partners for other in partner.groups))
        for group in model.groups
    ]


def _image_bytes(model: ModelLayout, partners: Sequence[ModelLayout]) -> int:
    return sum(
        GroupBuffer.bytes_per_image(group, grids)
        for group, grids in zip(model.groups, common_grids(model, partners), strict=True)
    )


def _moment_bytes(model: ModelLayout) -> int:
    return sum(2 * 4 * group.positions * group.channels for group in model.groups)


def plan(
    models: Sequence[ModelLayout],
    noise: ModelLayout,
    pairs: Sequence[tuple[int, int]],
    sketched: Sequence[int],
    images: int,
    permutations: int,
    budget: int,
) -> list[Pass]:
    """Passes that each fit the budget; one, when everything does.

    Args:
        models: the job's models.
        noise: the sketches' projection.
        pairs: whom to compare, by places in `models`.
        sketched: whose sketches to take.
        images: how many images there are.
        permutations: of the null.
        budget: bytes, beside the models themselves.
    Raises:
        BudgetError: when not even one image and one row fit.
    """
    involved = sorted({place for pair in pairs for place in pair} | set(sketched))
    everyone = [*[models[place] for place in involved], noise]
    one = sum(_image_bytes(model, everyone) for model in everyone)
    fixed = SCRATCH_BYTES + sum(_moment_bytes(models[place]) for place in involved) + one * permutations
    room = budget - fixed
    batch = min(_BATCH, images, max(1, room // 2 // one))
    room -= batch * one
    passes: list[list[Block]] = [[]]
    free = room
    todo: list[tuple[int, int | None]] = [*((place, None) for place in sketched), *pairs]
    for first, second in todo:
        row_bytes = (
            accumulator_bytes(1, noise.units, 0)
            if second is None
            else accumulator_bytes(1, models[second].units, permutations)
        )
        if row_bytes > room:
            need = fixed + batch * one + row_bytes
            raise BudgetError(f"needs at least {need / 2**20:,.0f} MiB, the budget is {budget / 2**20:,.0f} MiB")
        start = 0
        while start < models[first].units:
            rows = min(models[first].units - start, free // row_bytes)
            if rows:
                passes[-1].append(Block(first, second, slice(start, start + rows)))
                free -= rows * row_bytes
                start += rows
            if start < models[first].units:
                passes.append([])
                free = room
    return [Pass(tuple(blocks), _involved(blocks), batch) for blocks in passes if blocks]


def _involved(blocks: list[Block]) -> tuple[int, ...]:
    firsts = {block.first for block in blocks}
    return tuple(sorted(firsts | {block.second for block in blocks if block.second is not None}))
