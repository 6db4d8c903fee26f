"""The table of all options of ``centipet``: syntax, check, field, help and phrases.

The command line (`bidsapp.cli.parser`) and its description for platforms, the command in every
provenance (`bidsapp.bids.command`), what can be derived again (`bidsapp.verify.options`) and the
methods text (`bidsapp.report.methods`) read the rows of ``options.toml``. A new option is a field
of `bidsapp.settings`, a row there, and what it does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bidsapp import settings
from bidsapp.options import atlas_options, checks
from bidsapp.options.atlas_options import known

_CHECKS = {**vars(checks), **vars(atlas_options)}
_FOR_ARGPARSE = ("nargs", "metavar", "default", "action", "dest", "required")


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    Attributes
    ----------
    flags : as typed
    group : heading in the help
    keeps : where the settings keep it, such as ``processing.window_min``; empty: they do not
    help : one line; ``{here}`` is what this machine has
    typed : how argparse reads it
    check : takes the flag and what argparse made of the words; gives what the settings hold
    alone : options with the same word here exclude each other
    measures : whether it decides how an image is measured
    needed_for : what cannot be derived again without the file that was given
    phrase : of the methods text, for the number
    phrases : of the methods text, by value
    aliases : names that it has in other programs, understood and not shown
    """

    flags: tuple[str, ...]
    group: str
    keeps: str
    help: str
    typed: Mapping[str, Any]
    check: Callable[[str, Any], Any]
    alone: str = ""
    measures: bool = False
    needed_for: str = ""
    phrase: str = ""
    phrases: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Option:
        """Option of a row of the table.

        Parameters
        ----------
        row : of ``options.toml``

        Returns
        -------
        Option
        """
        given = dict(row)
        typed = {name: given.pop(name) for name in _FOR_ARGPARSE if name in given}
        if isinstance(typed.get("metavar"), list):
            typed["metavar"] = tuple(typed["metavar"])
        if "type" in given:
            typed["type"] = getattr(checks, given.pop("type"))
        check = _CHECKS[given.pop("check", "as_typed")]
        if "entity" in given:
            check = check(given.pop("entity"))
        if "range" in given:
            check = checks.within(**given.pop("range"))
        choices: list[str] = []
        if isinstance(given.get("choices"), list):
            typed["choices"] = given.pop("choices")
        elif "choices" in given:
            kind: type[StrEnum] = getattr(settings, given.pop("choices"))
            choices = [item.value for item in kind]
            check = checks.several(kind) if "nargs" in typed else lambda _, value: kind(value)
            typed["choices"] = choices
            if "nargs" in typed:
                typed |= {"type": str.lower, "choices": [*choices, "none"]}
                typed.setdefault("default", choices)
        given["help"] = _with_names(given["help"], choices)
        flags, aliases = tuple(given.pop("flags")), tuple(given.pop("aliases", ()))
        keeps = given.pop("keeps", "")
        return cls(
            flags, keeps=keeps, typed=typed or {"action": "store_true"}, check=check,
            aliases=aliases, **given,
        )  # fmt: skip

    @property
    def flag(self) -> str:
        """Name of the option, with its hyphens; that of an argument has none."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])

    @property
    def dest(self) -> str:
        """Name under which argparse stores the value."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def field(self) -> str:
        """Name of the field of the settings."""
        return self.keeps.rpartition(".")[2]


def _with_names(help_text: str, choices: list[str]) -> str:
    """Names of the package in place of words in braces."""
    regions = known("reference_regions")
    for word, names in {
        "atlases": known("atlases"),
        "programs": known("parcellations"),
        "standard_references": regions[:4],
        "more_references": regions[4:],
        "space": [settings.TEMPLATE_SPACE],
        "choices": choices,
    }.items():
        help_text = help_text.replace(f"{{{word}}}", ", ".join(names))
    return help_text


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / name).read_text("utf-8"))


_TABLE = _table("options.toml")
OPTIONS = tuple(map(Option.of_row, _TABLE["option"]))
# What cannot be asked for together, or at another level.
EXCLUSIONS: tuple[Mapping[str, Any], ...] = tuple(_TABLE["exclusion"])
# Every name of an option -> the name that the help shows.
OWNERS = {name: option.flag for option in OPTIONS for name in (*option.flags, *option.aliases)}

_FOREIGN = _table("foreign.toml")
# Options of other programs that change nothing here: why, and how argparse reads them.
WITHOUT_EFFECT: Mapping[str, Mapping[str, str]] = _FOREIGN["without_effect"]
# Options of other programs -> what to do instead.
FOREIGN: Mapping[str, str] = _FOREIGN["instead"]

# Options that change numbers, by their field of `bidsapp.settings.Processing`.
PROCESSING = {option.field: option for option in OPTIONS if option.keeps.startswith("processing.")}


def option_of(flag: str) -> Option:
    """Row of an option by one of its flags.

    Parameters
    ----------
    flag : such as ``--window``

    Returns
    -------
    Option
    """
    return next(option for option in OPTIONS if flag in option.flags)


# Fields of `bidsapp.settings.StudyOptions` that tables alone rest on.
_OF_TABLES = ("controls", "amyloid_cutoff", "tau_cutoff", "pair_days")


def idle_options(given: settings.Settings) -> list[str]:
    """Sentence about options that the run does not use; none without any.

    Parameters
    ----------
    given : settings of the run

    Returns
    -------
    list of str
    """
    of_group = given.level is settings.Level.GROUP
    if of_group or given.reports_only:
        part: Any = given.processing
        names = [name for name in PROCESSING if name != "tracer_file"]  # of records that are read
        reason = "used only at the participant level, whose results are read as they are"
    else:
        part, names = given.study, [*_OF_TABLES]
        reason = "used only at the group level"
    usual = type(part)()
    flags = {option.field: option.flag for option in OPTIONS if option.keeps}
    idle = [flags[name] for name in names if getattr(part, name) != getattr(usual, name)]
    return [f"{', '.join(idle)}: {reason}"] if idle else []
