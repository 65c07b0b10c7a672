"""`gdpkit prior list`, `info` and `verify`: what is here, what it is, and whether it is intact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gdpkit import options, params, registry, report
from gdpkit.cli.base import Command, summary
from gdpkit.errors import GdpkitError, PluginError
from gdpkit.params import Declared, Param

if TYPE_CHECKING:
    from gdpkit.components import Prior

_PRIOR = (
    "PRIOR is a name of gdpkit prior list, a checkpoint's file, a diffusers model's folder, or adm:file=FILE,key=value."
)


def _json_option() -> click.Option:
    return click.Option(["as_json", "--json"], is_flag=True, help="Print it as JSON.")


def list_command() -> click.Command:
    """The command `gdpkit prior list`."""
    return Command(
        "list",
        _list,
        help="List the priors that are installed, those that were fetched, and the public ones that can be.",
        examples=("gdpkit prior list", "gdpkit prior list --json"),
        own=[_json_option()],
    )


def info_command() -> click.Command:
    """The command `gdpkit prior info`."""
    return Command(
        "info",
        _info,
        help=f"Say what a prior is: architecture, parameters, SHA-256, licence, recipe.\n\n{_PRIOR}",
        examples=("gdpkit prior info embedded", "gdpkit prior info my-prior.safetensors --json"),
        own=[click.Argument(["prior"]), _json_option()],
    )


def verify_command() -> click.Command:
    """The command `gdpkit prior verify`."""
    sha256 = Declared("sha256", str, None, Param("The SHA-256 that the file should have, 64 hexadecimal digits."))
    return Command(
        "verify",
        _verify,
        help="Check that a prior's file can be used and is intact to the last byte; exit status 2 where it is not.\n\n"
        f"{_PRIOR} Nothing in it is executed. It is compared with what gdpkit knows of it, with the SHA-256 "
        "that it carries or that was noted when it was fetched, or with yours.",
        examples=("gdpkit prior verify embedded", "gdpkit prior verify net.pt --sha256 a37c32ff..."),
        own=[click.Argument(["prior"]), options.option(sha256), _json_option()],
    )


def _list(as_json: bool) -> None:
    from gdpkit.priors import known

    records: list[dict[str, Any]] = []
    installed = registry.load()
    for name in installed.names("priors"):
        file = known.checkpoint_file(name) if name == "embedded" else None
        try:
            what = summary(installed.get("priors", name))
        except PluginError as error:
            what = f"({error})"
        records.append(_record(name, "installed", file, what))
    fetched = known.cached()
    records += [_record(name, "fetched", file, "use it as --prior " + name) for name, file in fetched.items()]
    for name, entry in known.public().items():
        if name not in fetched:
            partial = (known.cache_folder() / entry.file).with_name(entry.file + known.PARTIAL)
            begun = f", {partial.stat().st_size / 1e6:.0f} MB are here" if partial.exists() else ""
            what = f"gdpkit prior fetch {name}{begun}"
            records.append({**_record(name, "public", None, what), "bytes": entry.bytes})
    if as_json:
        report.as_json({"cache": str(known.cache_folder()), "priors": records})
        return
    rows = [[r["name"], r["state"], _megabytes(r["bytes"]), r["about"]] for r in records]
    report.table(["name", "state", "size", "what it is"], rows)
    if fetched:
        click.echo(f"\nFetched priors are in {known.cache_folder()}.")


def _record(name: str, state: str, file: Path | None, about: str) -> dict[str, Any]:
    size = file.stat().st_size if file is not None else None
    return {"name": name, "state": state, "file": file and str(file), "bytes": size, "about": about}


def _info(prior: str, as_json: bool) -> None:
    from gdpkit.priors import inspection, known, recognise

    file, built = _wanted(prior)
    record = inspection.about(file, built)
    expected = known.expected_sha256(recognise.weights_file(file))
    note = (
        "" if expected is None else f" ({'as it should be' if expected[0] == record['sha256'] else 'NOT AS EXPECTED'})"
    )
    if as_json:
        report.as_json({"name": prior, **record})
        return
    field = record["receptive_field"]
    if isinstance(record["recipe"], dict):
        # A training by the clock has no number of steps in its recipe, and the number that it took beside it.
        record["recipe"] = {k: v for k, v in record["recipe"].items() if k != "steps" or v}
    if "steps" in record:
        record = {("steps taken" if k == "steps" else k): v for k, v in record.items()}
    shown = {
        **record,
        "bytes": f"{record['bytes']} ({_megabytes(record['bytes'])})",
        "parameters": f"{record['parameters']:,}".replace(",", " "),
        "receptive_field": "the whole image" if field is None else f"{field} pixels",
        "sha256": record["sha256"] + note,
    }
    report.facts({key.replace("_", " "): _text(value) for key, value in shown.items()})


def _verify(prior: str, sha256: str | None, as_json: bool) -> None:
    from gdpkit.priors import checkpoint, inspection, recognise

    file: Path | str = prior  # until it is known which file that is: a refused one has a record as well
    try:
        file, built = _wanted(prior)
        checked = inspection.verify(file, sha256, built)
    except GdpkitError as error:
        if as_json:
            report.as_json({"file": str(file), "ok": False, "error": str(error)})
        raise
    if as_json:
        weights = recognise.weights_file(file)
        record = {"file": str(file), "ok": True, "sha256": checkpoint.sha256(weights), "checked_by": checked}
        report.as_json(record)
    else:
        click.echo(f"{file}: ok, {checked}")


def _wanted(text: str) -> tuple[Path, Prior | None]:
    """The checkpoint or folder behind a name or path, and the prior itself where it was told more than that."""
    from gdpkit import choices
    from gdpkit.priors import known, recognise

    name, told = params.parse(text) if not Path(text).exists() else (text, {})
    names = registry.load().names("priors")
    if name in names and "file" in told:
        prior = choices.prior(text)
        return Path(told["file"]), prior
    if name in names and name != "embedded" and not Path(text).exists():
        raise GdpkitError(
            f"{name} has no checkpoint of its own; name a checkpoint's file, or see gdpkit describe {name}"
        )
    file = known.checkpoint_file(text, names)
    recognise.kind(file)  # says what is wrong with a folder
    return file, None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_text(item) for item in value)
    return "not known" if value is None else str(value)


def _megabytes(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
