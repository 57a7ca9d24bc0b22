"""Errors meant for people: scripts print the message and exit, without a traceback."""

from importlib.util import find_spec


class UserError(Exception):
    """Something the user gave cannot be used. The message says what was given, what is allowed and what to do.

    Scripts print it on standard error and exit with code 2.
    """

    exit_code = 2


class TrainingDiverged(Exception):
    """The loss or its gradient is not finite, or the loss is above its limit; scripts exit with code 3."""

    exit_code = 3


class TrainingInterrupted(Exception):
    """A signal stopped the run after its state was saved; scripts exit with 128 + signal number (SIGTERM: 143)."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def require(part: str, packages: str, extra: str, *modules: str) -> None:
    """ImportError, with the extra that installs them, if one of the modules that a part needs is not there."""
    if any(find_spec(name) is None for name in modules):
        raise ImportError(
            f"{part} needs {packages}: pip install 'rnn-jax-research[{extra}]'"
            f" (from a checkout: pip install '.[{extra}]')."
        )
