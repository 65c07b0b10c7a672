"""What the commands share: examples in every help, `--debug`, options of several values, groups filled on demand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from gdpkit import options, report
from gdpkit.errors import UnknownNameError, did_you_mean

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Exemplary(click.Command):
    """A command whose help ends with complete examples."""

    examples: Sequence[str] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each on its own line, unwrapped so that they can be copied."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Command(_Exemplary):
    """A command: `own` parameters first in its help, then the `common` ones under their title, then the examples.

    Its own options of several values take them at once: `--times 1/30 1/8 0.5`.
    """

    def __init__(
        self,
        name: str,
        callback: Callable[..., Any],
        *,
        help: str,
        examples: Sequence[str],
        own: Sequence[click.Parameter] = (),
        common: Sequence[click.Option] = (),
        title: str = "Common options",
    ) -> None:
        self.examples = examples
        self.title = title
        self.own = own
        self.split = bool(common)
        debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        params: list[click.Parameter] = [*own, *common, debug]
        super().__init__(name, SETTINGS, callback, params, paragraphs(help))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let options of several values take all that follow."""
        several = options.several(self.own)
        words = list(options.spread(args, several))
        try:
            return super().parse_args(ctx, list(words))
        except click.MissingParameter as error:
            option = error.param.opts[0] if error.param is not None else ""
            left = self.make_parser(ctx).parse_args(list(words))[1]
            if option in several and left:  # files where the option belongs before them
                hint = f"Write {option} {' '.join(left)}."
                raise click.MissingParameter(hint, ctx=ctx, param=error.param) from None
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two sections where there are both kinds of options. Arguments are explained in the text."""
        records: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                records[self.split and parameter in self.own].append(record)
        titles = {True: f"Options of {self.name}", False: self.title if records[True] else "Options"}
        for mine, title in titles.items():
            if records[mine]:
                with formatter.section(title):
                    formatter.write_dl(records[mine])


class Lazy(_Exemplary, click.Group):
    """A group whose commands are named by one function and made, when asked for, by another.

    Args:
        what: what its members are called in an error, "command" or "task".
        entries: name -> one line of help.
        load: name -> the command.
        hint: what else to say of an unknown name.
    """

    def __init__(
        self,
        name: str,
        what: str,
        entries: Callable[[], Mapping[str, str]],
        load: Callable[[str], click.Command],
        *,
        help: str,
        examples: Sequence[str],
        hint: Callable[[], str] = lambda: "",
        **more: Any,
    ) -> None:
        super().__init__(name, context_settings=SETTINGS, help=help, **more)
        self.examples = examples
        self._what, self._entries, self._load, self._hint = what, entries, load, hint

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command: its help, on standard error, as a person needs it and a script does not."""
        if not args and not ctx.resilient_parsing:
            report.warn(ctx.get_help())
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; an unknown one is an error with a suggestion."""
        known = self._entries()
        if cmd_name in known:
            return self._load(cmd_name)
        if ctx.resilient_parsing:
            return None
        raise UnknownNameError(f"unknown {self._what} {cmd_name!r}.{did_you_mean(cmd_name, known)}{self._hint()}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The names with their lines, without making a command."""
        rows = list(self._entries().items())
        if rows:
            with formatter.section(f"{self._what.capitalize()}s"):
                formatter.write_dl(rows)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands first: they are what a person looks for."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)


def manual(cls: type) -> str:
    """The docstring of a component class, "" where it has none of its own."""
    text = inspect.cleandoc(cls.__doc__ or "")
    # A dataclass without a docstring is given its signature as one.
    return "" if text.startswith(f"{cls.__name__}(") else text


def summary(cls: type) -> str:
    """The first line of the docstring."""
    return manual(cls).partition("\n")[0]


def paragraphs(text: str) -> str:
    r"""Text for click, which wraps paragraphs unless \b marks them: it marks those with lists or indented lines."""
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{block}" if re.search("^( |- )", block, re.MULTILINE) else block for block in blocks)
