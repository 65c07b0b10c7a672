"""`sr` and `lowlight` of a camera's JPEG files with its noise, beside what OpenCV makes of them: PSNR and SSIM.

    python benchmarks/camera_noise.py PHOTOS [--every 4] [--task sr --task lowlight] [--save FOLDER]

A photograph is light that a sensor counts behind a Bayer mosaic, with photon and read-out noise, which is demosaiced,
balanced, in one case smoothed (a bilateral filter, stronger in chroma), sharpened and stored as JPEG with 4:2:0 chroma.
`sr` gets it half as large and `--scale 2`, `lowlight` with a 12th of its light. OpenCV's way is bicubic interpolation,
or the gain that `lowlight` found, behind non-local means of the strength that is best for all photographs together.
PSNR and SSIM of low light are taken after a gain and an offset of the values, the best for the truth.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import exposure, images
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM

STRENGTHS = (0, 2, 4, 7, 11, 16, 24)  # of cv2.fastNlMeansDenoisingColored
BALANCE = np.array((2.0, 1.0, 1.6))
READ = 4.0  # electrons
CASES = {  # electrons at white, with all the light; how much noise reduction
    "sr": {"little noise": (7500.0, 0.0), "much noise": (1500.0, 0.0), "smoothed": (1000.0, 0.7)},
    "lowlight": {"little noise": (10000.0, 0.0), "much noise": (3000.0, 0.0), "smoothed": (2000.0, 0.7)},
}
EXPOSED = {"sr": 1.0, "lowlight": 1 / 12}


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--task", "tasks", multiple=True, default=tuple(CASES), type=click.Choice(list(CASES)))
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--save", default=None, type=click.Path(path_type=Path), help="Folder for the pictures, side by side.")
def main(photos: Path, tasks: tuple[str, ...], every: int, save: Path | None) -> None:
    """Print the table over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [_even(images.read_image(f).expand(-1, 3, -1, -1)) for f in files]
    table = Table("task", "camera", "method", "PSNR dB", "SSIM")
    for task in tasks:
        for case, (white, smoothing) in CASES[task].items():
            scenes = [t if task == "lowlight" else _halved(t) for t in truths]
            seen = [_taken(s, white, smoothing, EXPOSED[task], k) for k, s in enumerate(scenes)]
            options: dict[str, Any] = {"scale": 2} if task == "sr" else {}
            ours = [_rounded(gdpkit.restore(task, image=s, **options).tensor) for s in seen]
            plain = [_enlarged(s) if task == "sr" else _amplified(s, o) for s, o in zip(seen, ours, strict=True)]
            before = seen if task == "sr" else plain
            tried = [[_nlm(s, h) for s in before] for h in STRENGTHS]
            tried = [[_enlarged(s) for s in some] for some in tried] if task == "sr" else tried
            compared = _same if task == "sr" else _matched
            best = max(tried, key=lambda o: _mean(PSNR(), compared(o, truths), truths))
            rows = {"bicubic" if task == "sr" else "gain": plain, "non-local means": best, f"gdpkit run {task}": ours}
            for name, outputs in rows.items():
                found = compared(outputs, truths)
                figures = f"{_mean(PSNR(), found, truths):.2f}", f"{_mean(SSIM(), found, truths):.3f}"
                table.add_row(task, case, name, *figures)
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                for k, file in enumerate(files):
                    shown = torch.cat([*(outputs[k] for outputs in rows.values()), truths[k]], dim=3)
                    images.save(save / f"{file.stem}-{task}-{case.split()[0]}.png", shown, overwrite=True)
    Console().print(f"{len(files)} photographs", table)


def _taken(scene: Tensor, white: float, smoothing: float, exposed: float, seed: int) -> Tensor:
    """The file of a camera, (1, 3, H, W): `white` electrons are white in green with all the light."""
    random = np.random.default_rng(seed)
    light = exposed * exposure.decoded(scene)[0].permute(1, 2, 0).double().numpy() / BALANCE
    counted = random.poisson(light * white) + random.normal(0, READ, light.shape)
    balanced = counted / white * BALANCE
    mosaic = balanced[..., 1].copy()  # RGGB
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = balanced[0::2, 0::2, 0], balanced[1::2, 1::2, 2]
    black, steps = 4000, 50000
    raw = (black + steps * mosaic).clip(0, 65535).astype(np.uint16)
    full = (cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB_EA).astype(np.float64) - black) / steps
    picture: Any = exposure.encoded(torch.from_numpy(full.clip(0, 1))).numpy().astype(np.float32)
    if smoothing:
        ycc = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
        planes: list[Any] = [cv2.bilateralFilter(ycc[..., 0].copy(), 5, 6 * smoothing / 255, 2)]
        planes += [cv2.bilateralFilter(ycc[..., c].copy(), 7, 20 * smoothing / 255, 4) for c in (1, 2)]
        picture = cv2.cvtColor(np.stack(planes, axis=2), cv2.COLOR_YCrCb2RGB)
    picture = picture + 0.4 * (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))
    file = io.BytesIO()
    Image.fromarray((255 * picture.clip(0, 1)).round().astype(np.uint8)).save(file, "JPEG", quality=93, subsampling=2)
    return _tensor(np.asarray(Image.open(file)))


def _even(image: Tensor) -> Tensor:
    return image[..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2]


def _halved(image: Tensor) -> Tensor:
    return exposure.encoded(torch.nn.functional.avg_pool2d(exposure.decoded(image), 2))


def _amplified(seen: Tensor, ours: Tensor) -> Tensor:
    """As bright on average as our result, by a gain of its light."""
    log_gain = exposure.gain_for(exposure.decoded(seen), float(ours.mean()), "srgb", 0.0)
    return _rounded(exposure.encoded(exposure.decoded(seen) / log_gain.exp()))


def _array(image: Tensor) -> Any:
    return (255 * image[0].permute(1, 2, 0).clamp(0, 1)).round().to(torch.uint8).numpy()


def _tensor(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def _nlm(image: Tensor, strength: float) -> Tensor:
    return _tensor(cv2.fastNlMeansDenoisingColored(_array(image), None, strength, strength)) if strength else image


def _enlarged(image: Tensor) -> Tensor:
    return _tensor(cv2.resize(_array(image), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


def _same(outputs: list[Tensor], truths: list[Tensor]) -> list[Tensor]:
    return outputs


def _matched(outputs: list[Tensor], truths: list[Tensor]) -> list[Tensor]:
    """Each with the gain and the offset that bring it nearest to the truth."""
    found = []
    for output, truth in zip(outputs, truths, strict=True):
        columns = torch.stack([output.flatten(), torch.ones(output.numel())], dim=1)
        gain, offset = torch.linalg.lstsq(columns, truth.flatten()[:, None]).solution[:, 0].tolist()
        found.append(_rounded(gain * output + offset))
    return found


def _mean(metric: PSNR | SSIM, outputs: list[Tensor], truths: list[Tensor]) -> float:
    return sum(metric(o, t).item() for o, t in zip(outputs, truths, strict=True)) / len(outputs)


if __name__ == "__main__":
    main()
