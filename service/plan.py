"""Which pairs of models are mined together: as few parts as the memory budget allows.

A model runs once in each part that has it, so one part is best, and parts that share few models next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.database.schema import SKETCH_DIMENSIONS

Pair = tuple[int, int]


@dataclass
class _Part:
    bytes: int = 0
    pairs: list[Pair] = field(default_factory=list)
    models: set[int] = field(default_factory=set)


def null_permutations(first: int, second: int) -> int:
    """How many permutations the null takes of two models with so many units; each has an accumulator of its own.

    Units of one model move together (brightness moves all), and in the worst case as one: then the observed maxima
    exceed all of m permutations with probability 1 / (m + 1), so 19 hold the 5 % whatever the dependence. Large
    models, whose maxima over very many units vary little, get fewer, but at least two.
    """
    return max(2, min(19, 40_000_000 // (first * second)))


def plan_parts(pairs: Sequence[Pair], units: Mapping[int, int], budget: int) -> list[list[Pair]]:
    """Groups of pairs whose accumulators fit the budget together.

    A pair that exceeds it alone is a part of its own: the engine then takes it in blocks.

    Args:
        pairs: model ids; none twice.
        units: of each model.
        budget: bytes.
    """

    def product_bytes(pair: Pair) -> int:
        first, second = (units[model] for model in pair)
        return first * second * (8 + 4 * null_permutations(first, second))

    parts: list[_Part] = []
    for pair in sorted(pairs, key=lambda pair: (-product_bytes(pair), pair)):
        fitting = [
            (sum(model not in part.models for model in pair), index)
            for index, part in enumerate(parts)
            if part.bytes + product_bytes(pair) + _sketch_bytes(pair, part, units) <= budget
        ]
        if not fitting:
            parts.append(_Part())
        part = parts[min(fitting)[1]] if fitting else parts[-1]
        part.bytes += product_bytes(pair) + _sketch_bytes(pair, part, units)
        part.pairs.append(pair)
        part.models.update(pair)
    return [sorted(part.pairs) for part in parts]


def _sketch_bytes(pair: Pair, part: _Part, units: Mapping[int, int]) -> int:
    return sum(units[model] * SKETCH_DIMENSIONS * 8 for model in pair if model not in part.models)
