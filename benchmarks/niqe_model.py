"""Fit NIQE's model of pristine photographs, as the one that comes with gdpkit was.

    python benchmarks/niqe_model.py PHOTOS... -o niqe.npz

As Mittal, Soundararajan and Bovik (2013): blocks of 96x96 pixels of luma, of which those count that are at least 0.75
times as sharp as the sharpest of their photograph; the mean and covariance of their 36 features. gdpkit's own file was
made of the 400 train and test photographs of BSDS500 (Arbelaez, Maire, Fowlkes and Malik, "Contour detection and
hierarchical image segmentation", TPAMI 2011), 481x321 pixels each. The file holds these numbers and no photograph.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from gdpkit import read_image
from gdpkit.atomic import whole_file
from gdpkit.metrics import naturalness, windows

BLOCK, SHARP = 96, 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    found = []
    for photo in arguments.photos:
        luma = (255 * windows.luma(read_image(photo).double())).round()[0, 0]
        features, sharpness = naturalness.features(luma, BLOCK)
        found.append(features[sharpness > SHARP * sharpness.max()])
    every = torch.cat(found)
    mean, covariance = naturalness.gaussian_of(every)
    with whole_file(arguments.output) as temporary:
        np.savez(temporary.with_suffix(".npz"), mean=mean.numpy(), covariance=covariance.numpy())
    print(f"{len(arguments.photos)} photographs, {len(every)} blocks -> {arguments.output}")


if __name__ == "__main__":
    main()
