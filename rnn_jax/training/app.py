"""From a command line to a task, quickly: flags are parsed, checked and answered before anything heavy is imported."""

import dataclasses
import functools
import logging as standard_logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import app, flags, logging

from rnn_jax.config import (
    Config,
    Field,
    config_from_flags,
    define_flags,
    differences,
    fields_of,
    given_flags,
    refuse_empty,
    refuse_idle,
    with_overrides,
)
from rnn_jax.config.help import HELP_FLAGS, help_text
from rnn_jax.errors import UserError
from rnn_jax.exit_codes import exit_code
from rnn_jax.training.inherit import with_inherited
from rnn_jax.training.run_config import Invocation
from rnn_jax.training.run_files import show_finished, stored_config

if TYPE_CHECKING:
    from rnn_jax.training.task import Task

Main = Callable[[Any, Invocation], Any]
_SEVERAL_PROCESSES = ("JAX_COORDINATOR_ADDRESS", "SLURM_STEP_NUM_TASKS")


def run_app(task: Callable[[], "Task"], config_class: type, experiment: str) -> None:
    """Runs the script of a task, which is asked for when it is needed: it takes seconds to import."""

    def main(config: Any, invocation: Invocation) -> None:
        from rnn_jax.training.modes import run_mode

        run_mode(task(), config, invocation)

    run_script(main, config_class, experiment)


def run_script(main: Main, config_class: type, experiment: str, *, argv: Sequence[str] | None = None) -> None:
    """Defines the flags, parses the command line, calls main(config, invocation) and exits as `exit_codes` says.

    invocation.workdir is an absolute path. The result of a finished run is shown without calling main. Other than in
    training the configuration is the stored one of that run directory; flags that may differ between runs (where data
    lies) replace stored values, others must agree.
    """

    def body(rest: list[str]) -> None:
        if len(rest) > 1:
            raise UserError(
                f"unexpected argument {rest[1]!r}: flags are given as --name=value (--helpshort lists them)"
            )
        _be_quiet()
        config: Any
        config, invocation = resolve(config_class, experiment, argv=sys.argv if argv is None else argv)
        is_alone = not any(name in os.environ for name in _SEVERAL_PROCESSES)
        trains_one = invocation.mode == "train" and not invocation.dry_run and invocation.num_seeds == 1
        if trains_one and is_alone and show_finished(invocation.workdir, experiment, config):
            return
        if not is_alone:
            from rnn_jax.training.devices import initialize_distributed

            initialize_distributed()
        main(config, invocation)
        sys.stdout.flush()  # here, so that a closed pipe shows up where it is handled

    _start(lambda rest: exit_code(functools.partial(body, rest)), (Invocation, config_class), argv)


def run_tool(
    main: Callable[[Any, list[str]], int | None], config_class: type, *, argv: Sequence[str] | None = None
) -> None:
    """As `run_app` for a script that is no experiment: calls main(config, arguments), which may give the exit code.

    The flags are those of config_class alone; arguments are what the command line has beside them.
    """

    def body(arguments: list[str]) -> int | None:
        _be_quiet()
        refuse_empty(_typed(sys.argv if argv is None else argv, fields_of(config_class)), config_class)
        code = main(config_from_flags(config_class), arguments)
        sys.stdout.flush()
        return code

    _start(lambda rest: exit_code(functools.partial(body, rest[1:])), (config_class,), argv)


def _start(run: Callable[[list[str]], int], config_classes: tuple[type, ...], argv: Sequence[str] | None) -> None:
    arguments = list(sys.argv if argv is None else argv)
    if asked := [name for name in HELP_FLAGS if f"--{name}" in arguments or f"-{name}" in arguments]:
        docstring = sys.modules["__main__"].__doc__ or ""
        text = help_text(docstring, config_classes, short=asked == ["helpshort"])
        raise SystemExit(exit_code(lambda: print(text, flush=True)))
    for config_class in config_classes:
        define_flags(config_class)
    app.run(run, argv=arguments, flags_parser=_parse_flags)


def resolve(
    config_class: type[Config],
    experiment: str,
    flag_values: flags.FlagValues = flags.FLAGS,
    *,
    argv: Sequence[str] | None = None,
) -> tuple[Config, Invocation]:
    """Configuration and invocation of a parsed command line.

    In training, what is not given may be that of --init_from's run: see `with_inherited`.

    argv: as typed. A flag in a --flagfile, which is a recipe to be varied, may be made idle by one that is typed.

    Raises:
      UserError: they contradict a stored run; a flag that was typed is empty, or would do nothing.
    """
    typed = None if argv is None else _typed(argv, fields_of(Invocation) | fields_of(config_class))
    for flags_of in (Invocation, config_class):
        refuse_empty(fields_of(flags_of) if typed is None else typed, flags_of, flag_values)
    invocation = config_from_flags(Invocation, flag_values)
    workdir = Path(invocation.workdir or f"runs/{experiment}").expanduser().absolute()
    invocation = dataclasses.replace(invocation, workdir=str(workdir))
    given = given_flags(config_class, flag_values)
    if invocation.mode == "train":
        config = with_inherited(config_from_flags(config_class, flag_values), experiment, given, workdir)
    else:
        config = _as_stored(stored_config(workdir, experiment, config_class), given, invocation)
    _import_given_cells(config_class, given)
    known = [*given_flags(Invocation, flag_values), *given]
    refuse_idle([name for name in known if typed is None or name in typed], invocation, config)
    return config, invocation


def _typed(argv: Sequence[str], fields: Mapping[str, Field]) -> set[str]:
    """The flags that a command line names itself, by whichever of their names."""
    words = [re.match(r"--?(no)?(\w+)", argument) for argument in argv]
    spelt = {name for word in words if word for name in (word[2], f"{word[1] or ''}{word[2]}")}
    return {name for name, field in fields.items() if spelt & {name, *field.former}}


def _as_stored(stored: Config, given: Mapping[str, Any], invocation: Invocation) -> Config:
    config = with_overrides(stored, given)
    if conflicts := differences(stored, config):
        listed = "; ".join(f"--{name}={now}, the run has {before}" for name, before, now in conflicts)
        raise UserError(
            f"--mode={invocation.mode} takes its configuration from {invocation.workdir}, and these flags differ: "
            f"{listed}. Leave them out, or train with them in another --workdir."
        )
    return config


def _import_given_cells(config_class: type, given: Mapping[str, Any]) -> None:
    """Classes of one's own are imported when the command line names them."""
    names = [name for knob, field in fields_of(config_class).items() if field.code for name in given.get(knob, ())]
    if any(":" in name for name in names):
        from rnn_jax.models.own_cells import import_cells

        import_cells(names)


def _be_quiet() -> None:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # absl would show every INFO line of the packages below us
        standard_logging.getLogger().setLevel(standard_logging.WARNING)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(list(argv))
    except flags.Error as error:
        message = " ".join(str(error).removeprefix("ERROR:: ").split())
        print(f"error: {message} (--helpshort lists the flags)", file=sys.stderr)
        raise SystemExit(UserError.exit_code) from None
