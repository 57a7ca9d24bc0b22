"""From exceptions to messages and exit codes.

exit code   meaning
0           done
1           a sweep went to its end, and some of its runs failed; also what Python gives for errors of our own
2           the user gave something wrong (also: disk full); one message on standard error
3           training diverged
128 + n     stopped by signal n after saving (143: SIGTERM, 130: SIGINT, 141: the reader of our output is gone)
"""

import errno
import os
import signal
import sys
from collections.abc import Callable

from rnn_jax.errors import TrainingDiverged, TrainingInterrupted, UserError


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
