"""Which pairs of models are mined together: as few parts as the memory budget allows.

A model runs once in each part that has it, so one part is best, and parts that share few models next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from service.database.schema import SKETCH_DIMENSIONS

Pair = tuple[int, int]


@dataclass
class _Part:
    products: int = 0
    pairs: list[Pair] = field(default_factory=list)
    models: set[int] = field(default_factory=set)


# Permutations of the null; each has an accumulator of its own. Units of one model move together (brightness moves
# all), so one permutation may happen to be mild: over networks that were fed other images, 4.4 % of their best buddies
# came out at q < 0.05 in the worst of four kinds of images with one permutation, 2.0 % with four, no fewer with more.
NULL_PERMUTATIONS = 4


def plan_parts(pairs: Sequence[Pair], units: Mapping[int, int], budget: int, least: int = 1) -> list[list[Pair]]:
    """Groups of pairs whose accumulators fit the budget together, of about the same work each.

    A pair that exceeds it alone is a part of its own: the engine then takes it in blocks.

    Args:
        pairs: model ids; none twice.
        units: of each model.
        budget: bytes.
        least: parts to make, where there are so many pairs: workers share a job by its parts.
    """

    def product_bytes(pair: Pair) -> int:
        first, second = (units[model] for model in pair)
        return first * second * (8 + 4 + 4 * NULL_PERMUTATIONS)

    share = -(-sum(map(product_bytes, pairs)) // least)
    parts = [_Part() for _ in range(min(least, len(pairs)))]
    for pair in sorted(pairs, key=lambda pair: (-product_bytes(pair), pair)):
        need = product_bytes(pair)
        fitting = [
            # With the part that has its models while that leaves the others their share; else where least is.
            (False, sum(model not in part.models for model in pair), index)
            if part.products + need <= share
            else (True, part.products, index)
            for index, part in enumerate(parts)
            if not part.pairs or part.products + need + _sketch_bytes(part.models | {*pair}, units) <= budget
        ]
        if not fitting:
            parts.append(_Part())
        part = parts[min(fitting)[-1]] if fitting else parts[-1]
        part.products += need
        part.pairs.append(pair)
        part.models.update(pair)
    return [sorted(part.pairs) for part in parts]


def _sketch_bytes(models: Collection[int], units: Mapping[int, int]) -> int:
    return sum(units[model] * SKETCH_DIMENSIONS * 8 for model in models)
