import pytest

from workers.mining.errors import BudgetError
from workers.mining.layout import LayerShape, ModelLayout, noise_layout
from workers.mining.plan import SCRATCH_BYTES, plan

NOISE = noise_layout(512, 14)
MODELS = [ModelLayout(name, (LayerShape("l", units, 7, 7),)) for name, units in (("a", 400), ("b", 300), ("c", 1000))]
PAIRS = [(0, 1), (0, 2), (1, 2)]


def make(budget, pairs=PAIRS):
    return plan(MODELS, NOISE, pairs, [0, 1, 2], 100, 3, budget)


def test_all_in_one_pass_when_memory_allows():
    (only,) = make(2**31)
    assert only.models == (0, 1, 2)
    assert only.batch == 32
    assert len(only.blocks) == 6


@pytest.mark.parametrize("extra", [16, 24, 40, 80])
def test_blocks_cover_every_row_of_every_pair_once(extra):
    passes = make(SCRATCH_BYTES + extra * 2**20)
    rows = {}
    for part in passes:
        for block in part.blocks:
            rows.setdefault((block.first, block.second), []).extend(range(block.rows.start, block.rows.stop))
            assert block.first in part.models
            assert block.second is None or block.second in part.models
    assert rows.keys() == {*PAIRS, (0, None), (1, None), (2, None)}
    for (first, _), covered in rows.items():
        assert sorted(covered) == list(range(MODELS[first].units))


def test_a_smaller_budget_takes_more_passes():
    assert len(make(SCRATCH_BYTES + 16 * 2**20)) > 1


def test_a_hopeless_budget_says_what_is_needed():
    with pytest.raises(BudgetError, match=r"needs at least \d+ MiB, the budget is 10 MiB"):
        make(10 * 2**20)
