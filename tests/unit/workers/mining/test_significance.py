import torch

from workers.mining.significance import q_values


def test_q_is_benjamini_hochberg_by_definition():
    generator = torch.Generator().manual_seed(1)
    best = torch.cat([torch.rand(40, generator=generator), torch.rand(20, generator=generator) + 0.8])
    null = torch.rand(300, generator=generator)
    p = torch.tensor([(1 + (null >= r).sum()) / 301 for r in best], dtype=torch.float64)
    order = p.argsort()
    raw = p[order] * 60 / torch.arange(1, 61)
    expected = torch.empty(60, dtype=torch.float64)
    expected[order] = raw.flip(0).cummin(0).values.flip(0).clamp(max=1)
    torch.testing.assert_close(q_values(best, best, null), expected.float())


def test_q_never_decreases_as_r_falls_and_lower_ranks_get_the_threshold_below():
    best, null = torch.rand(50), torch.rand(200) * 0.8
    r = torch.linspace(1, -1, 100)
    q = q_values(r, best, null)
    assert (q.diff() >= 0).all()
    assert q[-1] == 1
    assert ((q > 0) & (q <= 1)).all()


def test_dead_units_are_left_out():
    best = torch.tensor([0.9, torch.nan, 0.1])
    q = q_values(best, best, torch.tensor([0.2, 0.3, torch.nan, 0.1]))
    assert q[1].isnan()
    torch.testing.assert_close(q[0], torch.tensor(0.5))  # p = 1/4 over 2 live units, the first of them
