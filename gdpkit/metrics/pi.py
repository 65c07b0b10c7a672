"""Perceptual index."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError
from gdpkit.metrics.niqe import Niqe
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PerceptualIndex(Metric):
    """Perceptual index, ((10 - Ma) + NIQE) / 2, of a picture by itself; lower is better.

    It is the measure of Blau et al., "The 2018 PIRM challenge on perceptual image super-resolution", ECCVW 2018. Ma is
    the score of Ma, Yang, Yang and Yang, "Learning a no-reference quality metric for single-image super-resolution",
    CVIU 2017, three regression forests that their MATLAB program holds. gdpkit does not compute it: `ma` is a file of
    its scores, a CSV with a line NAME,SCORE for each picture, by file name or stem. NIQE is gdpkit's; `model`, as in
    `niqe`, names the authors' model, which published values need.
    """

    name = "pi"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "none"
    higher_is_better: ClassVar[bool] = False
    ma: Path = param(help="Scores of Ma et al.'s MATLAB program, a CSV with a line NAME,SCORE for each picture.")
    model: Path | None = param(None, help="NIQE's model of pristine photographs, .npz; gdpkit's own by default.")
    picture: str = param("", help="Whose score is meant; gdpkit eval fills it in.")

    def named(self, name: str) -> Metric:
        """The metric for the picture of this file name."""
        return replace(self, picture=Path(name).name)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W), all of the one picture named -> (B,)."""
        return (10 - self.score() + Niqe(model=self.model)(image, None)) / 2

    def score(self) -> float:
        """Ma's score of the picture. `GdpkitError` where the file has none."""
        try:
            with self.ma.open(newline="", encoding="utf-8") as opened:
                scores = {line[0].strip(): line[1] for line in csv.reader(opened) if len(line) >= 2}
        except (OSError, ValueError, csv.Error) as error:
            raise GdpkitError(f"{self.name}: {self.ma} cannot be read ({error})") from error
        for name in (self.picture, Path(self.picture).stem):
            if name in scores:
                try:
                    score = float(scores[name])
                except ValueError:
                    score = math.nan
                if math.isfinite(score):
                    return score
                raise GdpkitError(f"{self.name}: {self.ma}: the score of {name} is no number, but {scores[name]!r}")
        raise GdpkitError(f"{self.name}: {self.ma} has no score of {self.picture or 'a picture without a name'}")
