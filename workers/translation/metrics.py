"""How near a picture came to its target: PSNR, SSIM, retrieval; and how far a picture has moved or grown."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

# Wang et al. 2004, "Image quality assessment", section III: for values in [0, 1].
WINDOW, SIGMA, C1, C2 = 11, 1.5, 0.01**2, 0.03**2


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB, float64 [N]; infinite where they are the same.

    Args:
        images, targets: float [N, 3, H, W] in [0, 1].
    """
    return -10 * (images.double() - targets.double()).square().flatten(1).mean(1).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity, float64 [N]: of each colour, where the whole window lies inside, then the mean.

    Wang et al. 2004, equation 13, with a Gaussian window of 11 x 11 pixels. A smaller picture gets a smaller window.

    Args:
        images, targets: float [N, 3, H, W] in [0, 1].
    """
    x, y = images.double(), targets.double()
    size = min(WINDOW, *x.shape[2:])
    axis = torch.arange(size, dtype=torch.float64, device=x.device) - (size - 1) / 2
    line = torch.exp(-axis.square() / (2 * SIGMA**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values.flatten(0, 1)[:, None], window[None, None]).unflatten(0, values.shape[:2])[:, :, 0]

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    similarity = (2 * mx * my + C1) * (2 * both + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))
    return similarity.flatten(1).mean(1)


def retrieved(images: Tensor, targets: Tensor) -> Tensor:
    """Whether each picture is nearer to its own target than to any other, by the squares of pixels: bool [N].

    Args:
        images, targets: float [N, 3, H, W].
    """
    distance = torch.cdist(
        images.flatten(1).double(), targets.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    own = distance.diagonal().clone()
    return own < distance.fill_diagonal_(torch.inf).amin(1)


def displacement(before: Tensor, after: Tensor, most: int = 24) -> Tensor:
    """By how many pixels each picture has moved, (dx, dy), int64 [N, 2].

    The shift whose overlap correlates best: Pearson r of gray values over the pixels that both show, for every shift
    of up to `most` pixels both ways.

    Args:
        before, after: float [N, 3, H, W].
        most: pixels, < H and W.
    """
    a, b = (images.double().mean(1) for images in (before, after))
    place = _shifted_r(a, torch.ones_like(a), b, most).flatten(1).argmax(1)
    return torch.stack([place % (2 * most + 1) - most, place // (2 * most + 1) - most], 1)


def growth(before: Tensor, after: Tensor, factors: Tensor, most: int = 6) -> Tensor:
    """How many times each picture has grown around its middle, float64 [N]: one of `factors`.

    Each factor enlarges the first picture; the one that correlates best with the second, over the pixels that both
    show and at the best shift of up to `most` pixels both ways, is the answer.

    Args:
        before, after: float [N, 3, H, W].
        factors: float64 [F], > 0.
        most: pixels, < H and W.
    """
    a, b = (images.double().mean(1) for images in (before, after))
    found = []
    for factor in factors.tolist():
        theta = torch.tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]], dtype=a.dtype, device=a.device)
        grid = F.affine_grid(theta.expand(len(a), 2, 3), [len(a), 1, *a.shape[1:]], align_corners=False)
        enlarged = F.grid_sample(a[:, None], grid, align_corners=False, padding_mode="border")[:, 0]
        found.append(_shifted_r(enlarged, (grid.abs() <= 1).all(3).to(a), b, most).flatten(1).amax(1))
    return factors[torch.stack(found).argmax(0).cpu()]


def _shifted_r(a: Tensor, weight: Tensor, b: Tensor, most: int) -> Tensor:
    """Pearson r of a[p] and b[p + shift] over the pixels p that count, for all shifts: float64 [N, dy, dx].

    All sums over the overlap at once, as products of spectra.

    Args:
        a, weight, b: float64 [N, H, W]; the weight says how much a pixel of `a` counts.
        most: pixels both ways.
    """
    size = [2 * side for side in a.shape[1:]]

    def products(x: Tensor, y: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x, s=size).conj() * torch.fft.rfft2(y, s=size)
        whole = torch.fft.irfft2(spectrum, s=size).roll((most, most), (1, 2))
        return whole[:, : 2 * most + 1, : 2 * most + 1]

    one = torch.ones_like(b)
    count = products(weight, one)
    mean_a, mean_b = products(weight * a, one) / count, products(weight, b) / count
    variance_a = (products(weight * a * a, one) / count - mean_a.square()).clamp(min=1e-6)
    variance_b = (products(weight, b * b) / count - mean_b.square()).clamp(min=1e-6)
    return (products(weight * a, b) / count - mean_a * mean_b) / (variance_a * variance_b).sqrt()
