"""Where an edit of units leaves the picture alone."""

import torch

from tests.unit.workers.translation.steered import pair
from workers.translation.identity import elsewhere
from workers.translation.targets import LayerTargets, Targets


def test_elsewhere_is_where_no_chosen_unit_fires():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0, 0, 0] = maps[0, 1, 3, 3] = maps[0, 2, 1, 1] = 5  # the third is not chosen
    pairs = tuple(pair("fine", channel, "seen", channel) for channel in range(3))
    targets = Targets((LayerTargets("seen", pairs, maps),))

    def chosen(one):
        return one.model.channel < 2

    whole = elsewhere(targets, (4, 4), chosen)
    assert whole.shape == (2, 1, 4, 4)
    assert (1 - whole[:, 0]).nonzero().tolist() == [[0, 0, 0], [0, 3, 3]]
    half = elsewhere(targets, (4, 4), chosen, box=(0.0, 0.0, 4.0, 2.0))
    assert (1 - half[:, 0]).nonzero().tolist() == [[0, 0, 0]]
    fine = elsewhere(targets, (16, 16), chosen)[0, 0]
    assert fine[:3, :3].sum() == 0  # a cell is four pixels
    assert fine[5:11].min() == 1
