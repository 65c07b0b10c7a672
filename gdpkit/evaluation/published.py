"""Published results, to print beside one's own.

Fei et al., "Generative Diffusion Prior for Unified Image Restoration and Enhancement", CVPR 2023, tables of linear
inverse problems: 1000 validation images of ImageNet at 256x256. PSNR in dB, SSIM, consistency in 0..255 squared, FID.
"""

from __future__ import annotations

from collections.abc import Mapping

COLUMNS = ("psnr", "ssim", "consistency", "fid")

GDP_IMAGENET: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    "sr": {
        "DGP": (21.65, 0.56, 158.74, 152.85),
        "SNIPS": (22.38, 0.66, 21.38, 154.43),
        "RED": (24.18, 0.71, 27.57, 98.30),
        "DDRM": (26.53, 0.78, 19.39, 40.75),
        "GDP-x_t": (24.27, 0.67, 80.32, 64.67),
        "GDP-x_0": (24.42, 0.68, 6.49, 38.24),
    },
    "deblur": {
        "DGP": (26.00, 0.54, 475.10, 136.53),
        "SNIPS": (24.73, 0.69, 60.11, 17.11),
        "RED": (21.30, 0.58, 63.20, 69.55),
        "DDRM": (35.64, 0.98, 50.24, 4.78),
        "GDP-x_t": (25.86, 0.75, 54.08, 5.00),
        "GDP-x_0": (25.98, 0.75, 41.27, 2.44),
    },
    "inpaint": {
        "DGP": (27.59, 0.82, 414.60, 60.65),
        "SNIPS": (17.55, 0.74, 587.90, 103.50),
        "DDRM": (34.28, 0.95, 4.08, 24.09),
        "GDP-x_t": (31.06, 0.93, 8.80, 20.24),
        "GDP-x_0": (34.40, 0.96, 5.29, 16.58),
    },
    "colorize": {
        "DGP": (18.42, 0.71, 305.59, 94.59),
        "DDRM": (22.12, 0.91, 37.33, 47.05),
        "GDP-x_t": (21.30, 0.86, 75.24, 66.43),
        "GDP-x_0": (21.41, 0.92, 36.92, 37.60),
    },
}
