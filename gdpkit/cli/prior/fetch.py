"""`gdpkit prior fetch`: public checkpoints, checked before they get their names."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gdpkit import options, report
from gdpkit.cli.base import Command
from gdpkit.errors import GdpkitError, UnknownNameError, did_you_mean
from gdpkit.meter import meter
from gdpkit.params import Declared, Param

if TYPE_CHECKING:
    from gdpkit.priors.known import Known


def fetch_command() -> click.Command:
    """The command `gdpkit prior fetch`."""
    sha256 = Declared("sha256", str, None, Param("The SHA-256 that the file must have, 64 hexadecimal digits."))
    to = "The folder to write to; --prior finds by name what is in the cache.  [default: the cache]"
    return Command(
        "fetch",
        _fetch,
        help="Download a public checkpoint by its NAME in gdpkit prior list, or any by its URL, for --prior NAME.\n\n"
        "A download that was cut goes on from there when the command is given again. The cache is $GDPKIT_CACHE, or "
        "gdpkit in $XDG_CACHE_HOME or ~/.cache.",
        examples=(
            "gdpkit prior fetch 256x256_diffusion_uncond",
            "gdpkit prior fetch https://example.org/net.safetensors --to priors/",
        ),
        own=[
            click.Argument(["source"], metavar="NAME|URL"),
            options.option(sha256),
            click.Option(["folder", "--to"], type=options.File(), metavar="DIR", help=to),
        ],
    )


def _fetch(source: str, sha256: str | None, folder: Path | None) -> None:
    from gdpkit.download import download
    from gdpkit.priors import known

    if source == "embedded":
        wanted = known.valid_sha256(sha256) if sha256 is not None else None
        _check_present(known.checkpoint_file(source), wanted, "embedded is inside gdpkit and installed already.")
        click.echo(os.fsencode(known.checkpoint_file(source)))
        return
    entry = _entry(source)
    wanted = known.valid_sha256(sha256) if sha256 is not None else entry.sha256
    if sha256 is not None and entry.sha256 not in (None, wanted):
        raise GdpkitError(f"--sha256 {sha256}: {entry.name} is known to have another one, {entry.sha256}")
    folder = folder or known.cache_folder()
    if folder.is_file():
        raise GdpkitError(f"--to {folder}: it is a file, not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / entry.file
    if target.exists():
        _check_present(target, wanted, f"{target} is there already.")
    else:
        if wanted is None:
            report.warn(
                f"Warning: no SHA-256 of {entry.file} is known: nobody can tell whether what comes is what its "
                "publisher meant. If they publish one, give it with --sha256."
            )
        assert entry.url is not None
        with meter(f"fetching {entry.file}") as shown:

            def on_bytes(done: int, total: int | None) -> None:
                of = f" of {total / 1e6:.0f}" if total else ""
                shown.update(done / total if total else 0.0, f"{done / 1e6:.0f}{of} MB")

            found = download(entry.url, target, known.PARTIAL, sha256=wanted, size=entry.bytes, on_bytes=on_bytes)
        # Noted, so that damage done later can be told.
        target.with_name(f"{target.name}.sha256").write_text(f"{found}  {target.name}\n", encoding="utf-8")
        report.warn(f"SHA-256 {found}{'' if wanted else ' (not compared with anything)'}; licence: {entry.licence}")
    click.echo(os.fsencode(target))


def _entry(source: str) -> Known:
    """What is known of a name, or of a URL."""
    from gdpkit.download import check_address
    from gdpkit.priors import known

    listed = known.public()
    if source in listed:
        return listed[source]
    if "://" not in source:
        raise UnknownNameError(
            f"{source!r} is neither a public checkpoint's name nor a URL.{did_you_mean(source, listed)}"
        )
    same = next((entry for entry in listed.values() if entry.url == source), None)
    if same is not None:
        return same
    file = Path(urllib.parse.unquote(check_address(source).path)).name
    if not re.fullmatch(r"\w[\w.+ -]*\.(pt|pth|ckpt|bin|safetensors)", file):
        raise GdpkitError(f"{source}: its last part must be a file's name such as net.pt or net.safetensors")
    return known.Known(Path(file).stem, file, licence="not known", url=source)


def _check_present(target: Path, wanted: str | None, note: str) -> None:
    from gdpkit.priors.known import sha256

    if wanted is not None and sha256(target) != wanted:
        raise GdpkitError(f"{target}: is there already, but its SHA-256 is not {wanted}; remove it and fetch it again")
    report.warn(note)
