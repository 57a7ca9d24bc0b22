"""From a command line to an experiment's `main`, and from its exceptions to messages and exit codes.

exit code   meaning
0           done
1           a sweep went to its end, and some of its runs failed; also what Python gives for errors of our own
2           the user gave something wrong (also: disk full); one message on standard error
3           training diverged
128 + n     stopped by signal n after saving (143: SIGTERM, 130: SIGINT, 141: the reader of our output is gone)
"""

import dataclasses
import errno
import functools
import logging as standard_logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from rnn_jax.config import (
    Config,
    config_from_flags,
    define_flags,
    differences,
    given_flags,
    knob,
    with_overrides,
)
from rnn_jax.errors import TrainingDiverged, TrainingInterrupted, UserError
from rnn_jax.training.devices import initialize_distributed
from rnn_jax.training.run import read_run


@dataclasses.dataclass(frozen=True)
class Invocation:
    """What to do, as opposed to which experiment: flags that every script has beside its configuration."""

    mode: str = knob(
        "train",
        "train a model, eval: score a trained one, predict: apply one to lines of text; eval and predict take their "
        "configuration from --workdir",
        choices=("train", "eval", "predict"),
    )
    workdir: str = knob("", "run directory (default: runs/<experiment>)")
    num_seeds: int = knob(
        1, "train so many seeds, --seed and up, in one process; each in its own directory below --workdir", minimum=1
    )
    seeds_mode: str = knob(
        "auto",
        "how --num_seeds computes: one batched program (vmap), in turn (map), or what a short timing finds faster",
        choices=("auto", "vmap", "map"),
    )
    dry_run: bool = knob(False, "show configuration, parameters and shapes; train nothing")
    input: str = knob("", "file that --mode=predict reads (default: standard input)")
    split: str = knob("", "split or file that --mode=eval scores (default: the experiment's test data)")


Main = Callable[[Any, Invocation], Any]


def run_app(main: Main, config_class: type, experiment: str, *, argv: Sequence[str] | None = None) -> None:
    """Defines the flags, parses the command line, calls main(config, invocation) and exits with the code above.

    Joins the other processes first, if the environment says that there are any (`initialize_distributed`).
    invocation.workdir is an absolute path. With --mode=eval or predict the configuration is the stored one of that run
    directory; flags that may differ between runs (where data lies) replace stored values, others must agree.
    """
    flags.disclaim_key_flags()  # --helpshort lists a script's own flags: these are the caller's
    define_flags(Invocation)
    define_flags(config_class)

    def run(rest: list[str]) -> int:
        return exit_code(functools.partial(_main, main, config_class, experiment, rest))

    _start(run, argv)


def run_tool(
    main: Callable[[Any, list[str]], int | None], config_class: type, *, argv: Sequence[str] | None = None
) -> None:
    """As `run_app` for a script that is no experiment: calls main(config, arguments), which may give the exit code.

    The flags are those of config_class alone; arguments are what the command line has beside them.
    """
    flags.disclaim_key_flags()
    define_flags(config_class)

    def body(arguments: list[str]) -> int | None:
        _be_quiet()
        code = main(config_from_flags(config_class), arguments)
        sys.stdout.flush()
        return code

    _start(lambda rest: exit_code(functools.partial(body, rest[1:])), argv)


def _start(run: Callable[[list[str]], int], argv: Sequence[str] | None) -> None:
    app.run(run, argv=list(sys.argv if argv is None else argv), flags_parser=_parse_flags)


def resolve(
    config_class: type[Config], experiment: str, flag_values: flags.FlagValues = flags.FLAGS
) -> tuple[Config, Invocation]:
    """Configuration and invocation of a parsed command line; UserError where they contradict a stored run."""
    invocation = config_from_flags(Invocation, flag_values)
    workdir = Path(invocation.workdir or f"runs/{experiment}").expanduser().absolute()
    invocation = dataclasses.replace(invocation, workdir=str(workdir))
    if invocation.mode == "train":
        return config_from_flags(config_class, flag_values), invocation
    stored, run = read_run(workdir, experiment, config_class)
    run.close()
    given = given_flags(config_class, flag_values)
    config = with_overrides(stored, given)
    conflicts = differences(stored, config)
    if conflicts:
        listed = "; ".join(f"--{name}={now}, the run has {before}" for name, before, now in conflicts)
        raise UserError(
            f"--mode={invocation.mode} takes its configuration from {workdir}, and these flags differ: {listed}. "
            "Leave them out, or train with them in another --workdir."
        )
    return config, invocation


def _main(main: Main, config_class: type, experiment: str, rest: Sequence[str]) -> None:
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: flags are given as --name=value (--helpshort lists them)")
    _be_quiet()
    initialize_distributed()
    config: Any
    config, invocation = resolve(config_class, experiment)
    main(config, invocation)
    sys.stdout.flush()  # here, so that a closed pipe shows up where it is handled


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


def exit_code(body: Callable[[], int | None]) -> int:
    """Runs the body, which may give an exit code (none: 0); failures that are for people become a message and another.

    The message is one on standard error.
    """
    try:
        return body() or 0
    except (UserError, TrainingDiverged) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except TrainingInterrupted as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Python flushes standard output once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(f"error: the disk is full{where}: free some space and run the same command again", file=sys.stderr)
        return UserError.exit_code
