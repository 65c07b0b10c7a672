"""Which picture is compared with which: by name, `b_sr.png` with `b.jpg`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gdpkit.errors import GdpkitError, did_you_mean


def paired(outputs: Sequence[Path], others: Sequence[Path], endings: Collection[str], option: str) -> list[Path]:
    """For each output the picture of the same stem, or of its stem without one of the `endings` and its underscore.

    Raises `GdpkitError` naming the outputs that have none, or the two that one could mean; `option` is what the others
    were given by.
    """
    table: dict[str, list[Path]] = {}
    for other in others:
        table.setdefault(other.stem, []).append(other)
    found: list[Path] = []
    missing: list[Path] = []
    for output in outputs:
        stem = next((stem for stem in stems(output, endings) if stem in table), None)
        if stem is None:
            missing.append(output)
        elif len(table[stem]) > 1:
            both = " and ".join(map(str, table[stem][:2]))
            raise GdpkitError(f"{option}: both {both} have the name of {output}; remove or rename one of them")
        else:
            found.append(table[stem][0])
    if missing:
        raise GdpkitError(_missing(missing, table, endings, option))
    return found


def stems(output: Path, endings: Collection[str]) -> list[str]:
    """The names that a partner of this output may have, the likeliest first."""
    shorter, _, ending = output.stem.rpartition("_")
    return [output.stem, shorter] if shorter and ending in endings else [output.stem]


def brackets(
    outputs: Sequence[Path], files: Sequence[Path], folders: Mapping[str, Sequence[Path]], endings: Collection[str]
) -> list[list[Path]]:
    """For each output the exposures it was made from.

    `files` are one bracket, of all outputs. `folders` are brackets by the name of their folder: an output belongs to
    that of its own name, or to the one that holds an exposure of its name, both with or without one of the `endings`.
    """
    if not folders:
        return [list(files)] * len(outputs)
    found = []
    for output in outputs:
        names = stems(output, endings)
        fitting = [f for f in names if f in folders]
        fitting += [f for f, inside in folders.items() if f not in fitting and {p.stem for p in inside} & set(names)]
        if not fitting:
            hint = did_you_mean(names[-1], folders)
            raise GdpkitError(f"--exposures: there is no folder of exposures for {output.name}.{hint}")
        found.append(list(folders[fitting[0]]))
    return found


def _missing(missing: Sequence[Path], table: Mapping[str, object], endings: Collection[str], option: str) -> str:
    names = ", ".join(path.name for path in missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    names = names if len(missing) > 3 else " and ".join(names.rsplit(", ", 1))
    wanted = " or ".join(repr(stem) for stem in stems(missing[0], endings))
    near = did_you_mean(stems(missing[0], endings)[-1], table)
    near = near if "Did you mean" in near else ""
    return (
        f"{option}: there is no picture for {names}; {missing[0].name} would be paired with one named {wanted}.{near}"
    )
