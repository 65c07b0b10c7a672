"""A Gaussian field as a prior: every posterior has a closed form, against which samplers are tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.params import param

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class GaussianPrior(Prior):
    """Stationary Gaussian noise of a given correlation length; no weights. For tests and for trying samplers.

    x = mean + N(0, C), channels independent, C circulant in both directions. Its spectrum is

        S(k) = c (1 + l^2 |kappa|^2)^(-3/2),   |kappa|^2 = 4 sin^2(pi k_1 / H) + 4 sin^2(pi k_2 / W),

    with c such that the pixels have the wanted deviation: the covariance falls as exp(-r / l) with distance r
    (Matern field of smoothness 1/2; Lindgren, Rue and Lindstrom, JRSS-B 2011), and is positive definite at every size.
    Denoising is the Wiener filter S / (S + sigma^2), exactly E[x | x + sigma n].
    """

    name = "gaussian"
    mean: float = param(0.5, help="Mean of the pixels.")
    deviation: float = param(0.2, help="Standard deviation of a pixel, in [0, 1] units.", min=1e-4)
    length: float = param(2.0, help="Correlation length; 0: pixels are independent.", min=0, unit="pixels")

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """(B, C, H, W), sigma a float or (B,) -> E[clean | noisy], exact; differentiable and linear in `noisy`."""
        from gdpkit import functional

        level = functional.levels(sigma, noisy, noisy.dtype).reshape(-1, 1, 1, 1)
        power = self.spectrum(*noisy.shape[-2:]).to(noisy)
        gain = power / (power + level.square())
        return Denoised(self.mean + _filter(noisy - self.mean, gain))

    def spectrum(self, height: int, width: int) -> Tensor:
        """S, the eigenvalues of the covariance, float64 (H, W // 2 + 1), in the order of `torch.fft.rfft2`."""
        import torch

        def kappa(frequencies: Tensor) -> Tensor:
            return (2 * (torch.pi * frequencies).sin()).square()

        down = kappa(torch.fft.fftfreq(height, dtype=torch.float64))[:, None]
        across = torch.fft.fftfreq(width, dtype=torch.float64)
        power = (1 + self.length**2 * (down + kappa(across))).pow(-1.5)
        return (power * (self.deviation**2 / power.mean()))[:, : width // 2 + 1]

    def draw(self, noise: Tensor) -> Tensor:
        """A picture from this prior for standard normal noise of the same shape, (B, C, H, W); not clipped."""
        return self.mean + _filter(noise, self.spectrum(*noise.shape[-2:]).to(noise).sqrt())

    def covariance(self, height: int, width: int) -> Tensor:
        """C of one channel, dense float64 (N, N) with N = H W in row-major order; for small pictures."""
        import torch

        pixels = torch.eye(height * width, dtype=torch.float64).reshape(-1, height, width)
        return _filter(pixels, self.spectrum(height, width)).reshape(height * width, -1)

    def posterior(self, matrix: Tensor, observed: Tensor, sigma: float, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The distribution of one channel x given y = A x + sigma n.

        Args:
            matrix: A, (M, N) with N = H W.
            observed: y, (..., M): any number of channels and images seen through the same A.
            sigma: deviation of n, in the units of the image.
            size: (H, W).

        Returns:
            The mean m + C A^T (A C A^T + sigma^2 I)^-1 (y - A m), (..., N), and the covariance
            C - C A^T (A C A^T + sigma^2 I)^-1 A C, (N, N), both float64.
        """
        import torch

        a, y = matrix.double(), observed.double()
        prior = self.covariance(*size)
        across = prior @ a.T
        within = a @ across + sigma**2 * torch.eye(len(a), dtype=torch.float64)
        gain = torch.linalg.solve(within, across.T).T
        mean = self.mean + (y - self.mean * a.sum(dim=1)) @ gain.T
        return mean, prior - gain @ across.T

    def work(self, height: int, width: int) -> tuple[float, float]:
        """Two Fourier transforms of three channels, and their complex values."""
        import math

        pixels = 3 * height * width
        return 2 * 2.5 * pixels * max(1.0, math.log2(height * width)), 6 * 4.0 * pixels


def _filter(image: Tensor, gain: Tensor) -> Tensor:
    """Multiply each frequency of (..., H, W) by its gain."""
    import torch

    filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * gain, s=image.shape[-2:])
    return filtered
