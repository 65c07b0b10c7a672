"""Remove homogeneous haze: a gdpkit task in one file."""
from __future__ import annotations
from dataclasses import dataclass
from gdpkit import Degradation, PhotoTask, hookimpl, param

@dataclass(frozen=True)
class Haze(Degradation):
    """Mix the scene with air light A: y = t x + (1 - t) A."""
    name = "tutorial-haze"
    transmission: float = param(0.6, help="Share of light reaching the camera.", min=0, max=1)

    def __call__(self, image, *, airlight):
        return self.transmission * image + (1 - self.transmission) * airlight

    def unknowns(self, observed, shape):
        return {"airlight": observed.amax(dim=(2, 3), keepdim=True)}

@dataclass(frozen=True)
class Dehaze(PhotoTask):
    """Remove homogeneous haze from a photograph."""
    name = "tutorial-dehaze"
    transmission: float = param(0.6, help="Share of light reaching the camera.", min=0, max=1)

    def degradation(self):
        return Haze(transmission=self.transmission)

@hookimpl
def gdpkit_tasks():
    return [Dehaze]

@hookimpl
def gdpkit_degradations():
    return [Haze]
