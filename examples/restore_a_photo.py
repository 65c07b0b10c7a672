"""Enlarge a photograph four times from Python and write it beside the original: restore_a_photo.py [PHOTO]."""

from __future__ import annotations

import sys
from pathlib import Path

import gdpkit


def main() -> None:
    """Restore the photograph named on the command line, or the otter."""
    here = Path(__file__).parent
    photo = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "photos" / "otter.png"
    result = gdpkit.restore("sr", image=photo, scale=4, seed=0)
    height, width = result.image.shape[:2]
    target = photo.with_name(f"{photo.stem}-x4.png")
    result.save(target)
    print(f"{target}: {width}x{height} pixels in {result.record['seconds']:.1f} s")
    print(
        f"mean squared difference between the reduced result and the input: {result.record['consistency']:.2f} of 255^2"
    )


if __name__ == "__main__":
    main()
