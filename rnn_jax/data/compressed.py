"""Files that may be compressed, read as what is in them."""

import contextlib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from rnn_jax.errors import UserError

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def ending(path: str) -> str:
    """That of the name, in small letters and without what says that it is compressed: ".csv" of "a.CSV.gz"."""
    return Path(path.lower().removesuffix(".gz")).suffix


@contextlib.contextmanager
def open_bytes(path: str, what: str = "") -> Iterator[Iterator[bytes]]:
    """The lines of a file, with their ends; of one that gzip compressed, whatever it is called, those inside.

    It is opened once and read forwards, so that it may be a pipe.

    what: the file is, for messages, as in "Cannot read the word vectors a.txt".

    Raises:
      UserError: the file cannot be read, a gzip file is damaged, or the file is a zip archive.
    """
    with contextlib.ExitStack() as stack:
        with _explained(path, what):
            stream = stack.enter_context(open(path, "rb"))
            start = stream.peek(len(_ZIP))
            if start.startswith(_ZIP):
                raise UserError(f"{path} is a zip archive: unpack it, and name the text file in it.")
            inside = stack.enter_context(gzip.open(stream)) if start.startswith(_GZIP) else stream
        yield _read(inside, path, what)


def _read(stream: Iterable[bytes], path: str, what: str) -> Iterator[bytes]:
    with _explained(path, what):
        yield from stream


@contextlib.contextmanager
def _explained(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged, perhaps by a download that broke off: {error}.") from error
    except OSError as error:
        raise UserError(f"Cannot read {f'{what} ' * bool(what)}{path}: {error.strerror or error}.") from error
