"""Merging exposures: brackets made from radiance maps, whose truth is known, and real ones, beside OpenCV.

    python benchmarks/hdr.py MAP.hdr... --brackets FOLDER... [--half] [--steps 6] [--pictures OUT]

Of each radiance map a 512x384 cut (256x192 with --half) is exposed three times, two stops apart, the middle one so
that its median is at a fifth of white; clipped, with Gaussian noise of 5/255 at the shortest (and of half that with
each longer one, or the same in all), rounded to 8 bits. Nothing about the exposures is told to gdpkit. The plain merge
is a weighted mean in linear light, with hat weights, told the true response and times; where all is clipped or black it
takes the shortest or the longest. The best one is told the noise as well, weighs by the inverse variance, and leaves
out what is within 13 levels of white. The gain is over the better of the two. Of each folder the pictures are one
bracket; its MEF-SSIM is that of the default picture and of `cv2.createMergeMertens`, against the exposures as gdpkit
aligned them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from gdpkit_hdr.bracket import Bracket, BracketProblem
from numpy.typing import NDArray
from PIL import Image

import gdpkit
from gdpkit import images
from gdpkit.metrics.mef_ssim import MefSSIM
from gdpkit.metrics.psnr_mu import PsnrMu

Array = NDArray[Any]
STOPS = (-2, 0, 2)
LEVEL = 0.2
FALLING = (True, False)


def encoded(light: Array) -> Array:
    return images.encode_srgb(torch.from_numpy(light)).numpy()


def decoded(values: Array) -> Array:
    return images.decode_srgb(torch.from_numpy(values)).numpy()


def cut(path: Path, half: bool) -> Array:
    """The part in the middle of a panorama, in units of five times its median."""
    truth = images.to_array(images.read_linear(path))
    height, width = truth.shape[:2]
    top, left = (height - 384) // 2, (width - 512) // 2
    truth = truth[top : top + 384, left : left + 512]
    if half:
        truth = np.asarray(cv2.resize(truth, (256, 192), interpolation=cv2.INTER_AREA), np.float32)
    scaled: Array = truth * (LEVEL / float(np.median(truth)))
    return scaled


def exposed(truth: Array, falling: bool, seed: int = 0) -> list[Array]:
    """Three exposures, 8-bit values as floats."""
    rng = np.random.default_rng(seed)
    made = []
    for k, stops in enumerate(STOPS):
        sigma = 5 / 2**k if falling else 5.0
        noisy = encoded(truth * 2.0**stops) + rng.normal(0, sigma / 255, truth.shape)
        made.append((np.round(255 * noisy.clip(0, 1)) / 255).astype(np.float32))
    return made


def plain(exposures: list[Array]) -> Array:
    """The weighted mean that is told everything."""
    weights = [1 - np.abs(2 * e - 1) for e in exposures]
    total = sum(weights)
    light = [decoded(e) / 2.0**s for e, s in zip(exposures, STOPS, strict=True)]
    merged = sum(w * e for w, e in zip(weights, light, strict=True)) / np.maximum(total, 1e-9)
    merged = np.where(total > 1e-3, merged, np.where(exposures[0] > 0.5, light[0], light[-1]))
    return merged.astype(np.float32)


def inverse_variance(exposures: list[Array], falling: bool) -> Array:
    """The mean of light with the weights of maximum likelihood, told the noise too; clipped and black are left out."""
    total, mean = np.zeros_like(exposures[0]), np.zeros_like(exposures[0])
    for k, (exposure, stops) in enumerate(zip(exposures, STOPS, strict=True)):
        sigma = (5 / 2**k if falling else 5.0) / 255
        slope = (decoded(np.minimum(exposure + 0.01, 1)) - decoded(np.maximum(exposure - 0.01, 0))) / 0.02 / 2.0**stops
        told = (exposure > 2 / 255) & (exposure < 1 - 13 / 255)
        weight = told / (slope * sigma) ** 2
        total += weight
        mean += weight * decoded(exposure) / 2.0**stops
    light = [decoded(e) / 2.0**s for e, s in zip(exposures, STOPS, strict=True)]
    merged = np.where(total > 0, mean / np.maximum(total, 1e-9), np.where(exposures[0] > 0.5, light[0], light[-1]))
    return merged.astype(np.float32)


def debevec(exposures: list[Array]) -> Array:
    """OpenCV's, told the times."""
    stack = [np.round(255 * e).astype(np.uint8) for e in exposures]
    times = np.array([2.0**s for s in STOPS], np.float32)
    response = cv2.createCalibrateDebevec().process(stack, times)
    merged: Array = cv2.createMergeDebevec().process(stack, times, response)
    return merged


def saved(exposures: list[Array], folder: Path, suffix: str = "") -> tuple[Path, ...]:
    paths = []
    for k, exposure in enumerate(exposures):
        path = folder / f"{k}{suffix}.png"
        Image.fromarray(np.round(255 * exposure).astype(np.uint8)).save(path)
        paths.append(path)
    return tuple(paths)


def tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None]


def psnr_mu(picture: Array, truth: Array) -> float:
    return float(PsnrMu()(tensor(picture), tensor(truth)))


def stated(result: gdpkit.Restoration) -> Bracket:
    """What hdr knows of the exposures."""
    assert isinstance(result.problem, BracketProblem) and result.problem.bracket is not None
    return result.problem.bracket


def ratios(result: gdpkit.Restoration) -> list[float]:
    """The fitted f of the darkest and the brightest over that of the middle one."""
    gains = {k: float(v.ravel()[0]) for k, v in result.unknowns.items() if k.endswith("log_gain")}
    return [float(np.exp(g)) for _, g in sorted(gains.items())]


def synthetic(path: Path, args: argparse.Namespace) -> None:
    truth = cut(path, args.half)
    for falling in FALLING:
        exposures = exposed(truth, falling)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = saved(exposures, folder)
            result = gdpkit.restore("hdr", exposures=files, steps=args.steps, device="cpu")
            black = saved([exposures[0], np.zeros_like(truth), exposures[2]], folder, "b")
            without = gdpkit.restore("hdr", exposures=black, steps=args.steps, device="cpu")
        seen = (np.minimum(exposures[0], exposures[2]) < 0.95) & (np.maximum(exposures[0], exposures[2]) > 0.05)
        seen &= ((exposures[0] > 0.05) & (exposures[0] < 0.95)) | ((exposures[2] > 0.05) & (exposures[2] < 0.95))
        changed = 255 * float(np.abs(result.image - without.image)[seen].mean())
        assert result.radiance is not None
        merges = (debevec(exposures), plain(exposures), inverse_variance(exposures, falling), result.radiance)
        numbers = [psnr_mu(p, truth) for p in merges]
        white = stated(result).curve.white
        found = [100 * (g / white / 2.0**s - 1) for g, s in zip(ratios(result), (-2, 2), strict=True)]
        kind = "5, 2.5, 1.25" if falling else "5, 5, 5"
        print(
            f"{path.stem:28} {kind:13}"
            + "".join(f" {n:8.2f}" for n in numbers)
            + f" {numbers[3] - max(numbers[1:3]):+8.2f}"
            f"   {found[0]:+6.1f} {found[1]:+6.1f}  {changed:6.2f}  {result.record['seconds']:6.1f}",
            flush=True,
        )
        if args.pictures:
            shown = np.concatenate([result.image, without.image, *exposures], axis=1)
            Image.fromarray(np.round(255 * shown).astype(np.uint8)).save(args.pictures / f"{path.stem}_{kind[3:4]}.png")


def real(folder: Path, args: argparse.Namespace) -> None:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif"))
    times = (
        tuple(float(t) for t in (folder / "times.txt").read_text().split()) if (folder / "times.txt").exists() else ()
    )
    result = gdpkit.restore("hdr", exposures=tuple(files), times=times, steps=args.steps, device="cpu")
    aligned = list(stated(result).images)
    stack = [np.round(255 * e).astype(np.uint8) for e in aligned]
    mertens = cv2.createMergeMertens().process(stack).clip(0, 1)
    exposures = torch.cat([tensor(e) for e in aligned])[None]
    ours, theirs = (float(MefSSIM()(tensor(p), exposures)) for p in (result.image, mertens))
    width, height = result.record["size"]
    scores = f"{theirs:9.4f} {ours:9.4f} {ours - theirs:+9.4f}"
    print(f"{folder.name:28} {width:5}x{height:<5} {scores}  {result.record['seconds']:6.1f}")
    for note in result.notes:
        print(f"    {note}")
    if args.pictures:
        shown = np.concatenate([mertens, result.image, aligned[len(aligned) // 2]], axis=1)
        Image.fromarray(np.round(255 * shown).astype(np.uint8)).save(args.pictures / f"{folder.name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, nargs="*")
    parser.add_argument("--brackets", type=Path, nargs="*", default=[])
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    if args.maps:
        print(
            f"{'PSNR-mu in dB':28} {'noise':13} {'Debevec':>8} {'plain':>8} {'best':>8} {'gdpkit':>8} {'gain':>8}",
            end="",
        )
        print("   error of f in %  black: change  seconds")
        for path in args.maps:
            synthetic(path, args)
    if args.brackets:
        print(f"{'MEF-SSIM':28} {'size':11} {'Mertens':>9} {'gdpkit':>9} {'more':>9}  seconds")
        for folder in args.brackets:
            real(folder, args)


if __name__ == "__main__":
    main()
