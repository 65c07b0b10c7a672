"""The field's samplers beside gdpkit's own, with the same prior, on super-resolution x4.

    python benchmarks/samplers.py PHOTOS [--crop 128] [--every 3] [--published]

The default rows are the settings with the best PSNR that were found for each at four times the evaluations of `hqs`;
--published are those of the papers, most of which take minutes a photograph on a CPU. `snips` is among those only:
80 evaluations are too few for it.
"""

from __future__ import annotations

from pathlib import Path

import click
from sr_quality import compare

OWN = ("hqs", "hqs:steps=80", "gdp:steps=80")
BEST = (
    "ddrm:steps=80,eta=1",
    "ddnm:steps=80,eta=1",
    "diffpir:steps=80,zeta=1,spacing=uniform",
    "dps:steps=80,zeta=30",
    "daps:steps=40,ode_steps=2",
    "red:steps=80",
)
PUBLISHED = ("hqs", "gdp", "ddrm", "ddnm", "diffpir", "dps", "daps", "red", "snips")
RIVALS = ("ddrm", "ddnm", "diffpir", "dps")


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--crop", default=None, type=int, help="Use the middle of each photograph only, this many pixels wide.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--prior", default=None)
@click.option("--published", is_flag=True, help="The papers' settings.")
def main(photos: Path, crop: int | None, every: int, prior: str | None, published: bool) -> None:
    """Print the table over the photographs of a folder."""
    found = compare(photos, 4, PUBLISHED if published else OWN + BEST, prior, crop, every)
    best = max((name for name in found if name.partition(":")[0] in RIVALS), key=lambda name: found[name])
    click.echo(f"hqs {found['hqs']:.2f} dB; the best of {', '.join(RIVALS)}: {best}, {found[best]:.2f} dB")


if __name__ == "__main__":
    main()
