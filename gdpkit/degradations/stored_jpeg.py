"""What JPEG compression took from a picture that lies turned in its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.degradations.jpeg import Jpeg
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

INVERSE = {6: 8, 8: 6}


@dataclass(frozen=True)
class StoredJpeg(Jpeg):
    """JPEG compression of a picture that is stored turned: its blocks lie in the file, not in the upright picture."""

    name = "jpeg-file"
    orientation: int = param(1, help="EXIF's, 1..8.", min=1, max=8)

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Turned, compressed, turned back."""
        return self._upright(super().__call__(self._stored(image)))

    def known(self, observed: Tensor) -> Tensor:
        """Likewise."""
        return self._upright(super().known(self._stored(observed)))

    def error(self, observed: Tensor) -> float:
        """Likewise."""
        return super().error(self._stored(observed))

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float) -> Tensor | None:
        """Likewise."""
        moved = super().prox(self._stored(image), self._stored(observed), sigma, noise)
        return None if moved is None else self._upright(moved)

    def _upright(self, image: Tensor) -> Tensor:
        from gdpkit.images.metadata import upright

        return upright(image, self.orientation)

    def _stored(self, image: Tensor) -> Tensor:
        from gdpkit.images.metadata import upright

        return upright(image, INVERSE.get(self.orientation, self.orientation))
