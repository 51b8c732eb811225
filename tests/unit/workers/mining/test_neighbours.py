import pytest
import torch

from workers.mining.errors import ShapeError
from workers.mining.neighbours import TopNeighbours, best_buddies, reciprocal_ranks

CPU = torch.device("cpu")


def top(matrix, keep, blocks=1):
    state = TopNeighbours(*matrix.shape, keep, CPU)
    for rows in torch.randperm(len(matrix)).chunk(blocks):
        state.add(rows, matrix[rows].clone())
    return state.result()


@pytest.mark.parametrize("blocks", [1, 3, 20])
def test_top_both_ways_equals_a_full_sort(blocks):
    matrix = torch.rand(20, 30) * 2 - 1
    forward, backward = top(matrix, 4, blocks)
    values, index = matrix.sort(dim=1, descending=True)
    assert torch.equal(forward.index, index[:, :4])
    assert torch.equal(forward.correlation, values[:, :4])
    assert torch.equal(backward.index, matrix.sort(dim=0, descending=True).indices[:4].T)


def test_dead_units_are_never_chosen_and_have_none():
    matrix = torch.rand(5, 4)
    matrix[2] = torch.nan
    matrix[:, 1] = torch.nan
    forward, backward = top(matrix, 10)
    assert (forward.index[2] == -1).all()
    assert (backward.index[1] == -1).all()
    assert forward.correlation[2].isnan().all()
    assert not (forward.index == 1).any()
    assert not (backward.index == 2).any()
    assert (forward.index[0] >= 0).sum() == 3
    assert len(best_buddies(forward.index, backward.index, 10)) == 4 * 3


def test_reciprocal_rank_is_the_rank_the_other_way():
    matrix = torch.rand(12, 15)
    forward, backward = top(matrix, 5)
    ranks = reciprocal_ranks(forward.index, backward.index)
    order = matrix.argsort(dim=0, descending=True)
    for unit in range(12):
        for k in range(5):
            neighbour = forward.index[unit, k]
            rank = int((order[:, neighbour] == unit).nonzero()) + 1
            assert ranks[unit, k] == (rank if rank <= 5 else 0)


@pytest.mark.parametrize("k", [1, 3])
def test_best_buddies_by_definition(k):
    matrix = torch.rand(10, 8)
    forward, backward = top(matrix, 3)
    expected = {
        (a, b)
        for a in range(10)
        for b in range(8)
        if (matrix[a] > matrix[a, b]).sum() < k and (matrix[:, b] > matrix[a, b]).sum() < k
    }
    assert {tuple(pair) for pair in best_buddies(forward.index, backward.index, k).tolist()} == expected


def test_a_block_of_another_width_is_refused():
    with pytest.raises(ShapeError):
        TopNeighbours(3, 4, 2, CPU).add(torch.arange(2), torch.zeros(2, 5))
