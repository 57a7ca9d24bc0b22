"""Reading text line by line in constant memory, whatever the file holds."""

import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator

from rnn_jax.errors import UserError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(stream: Iterable[bytes], name: str = "standard input") -> Iterator[str]:
    r"""Yields the lines of a binary stream without their line ends, holding one line at a time.

    A line ends at "\n" or "\r\n" and nowhere else; a UTF-8 byte order mark at the start is dropped.

    Raises:
      UserError: a line is not UTF-8 (names the line and the byte).
    """
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            encoding = "UTF-16" if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff") else "another encoding"
            raise UserError(
                f"{name}:{number}: not UTF-8 (byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line). "
                f"The text seems to be in {encoding}; convert it to UTF-8 first."
            ) from error


@contextlib.contextmanager
def open_lines(path: str = "") -> Iterator[Iterator[str]]:
    """The lines of a file, or of standard input where the path is empty or "-".

    Raises:
      UserError: the file cannot be read, there are no lines, or standard input is closed.
    """
    with contextlib.ExitStack() as stack:
        if path and path != "-":
            try:
                stream: Iterable[bytes] = stack.enter_context(open(path, "rb"))
            except OSError as error:
                raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
            lines = read_lines(stream, path)
        else:
            if sys.stdin is None:
                raise UserError("Nothing on standard input: pipe one text a line into it, or name a file to read.")
            if sys.stdin.isatty():
                print("One text a line, please; Ctrl-D ends.", file=sys.stderr)
            lines = read_lines(sys.stdin.buffer)
        first = next(lines, None)
        if first is None:
            name = path or "standard input"
            raise UserError(f"Nothing on {name}: one text a line is needed, as in `echo text | …`.")
        yield itertools.chain([first], lines)
