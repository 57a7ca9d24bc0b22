"""Reading text line by line in constant memory, whatever the file holds."""

import contextlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator

from rnn_jax.data.compressed import open_bytes
from rnn_jax.data.normal_form import nfc
from rnn_jax.errors import UserError

LINES_AT_ONCE, CHARACTERS_AT_ONCE = 1024, 4_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOTE_FOR_EXCEL = re.compile(r"sep=.?", re.IGNORECASE)


def read_lines(stream: Iterable[bytes], name: str = "standard input") -> Iterator[str]:
    r"""Yields the lines of a binary stream without their line ends, in Unicode's form NFC, holding one line at a time.

    A line ends at "\n" or "\r\n" and nowhere else; a UTF-8 byte order mark at the start is dropped.

    Raises:
      UserError: a line is not UTF-8 (names the line and the byte).
    """
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield nfc(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            encoding = "UTF-16" if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff") else "another encoding"
            raise UserError(
                f"{name}:{number}: not UTF-8 (byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line). "
                f"The text seems to be in {encoding}; convert it to UTF-8 first."
            ) from error


def read_rows(stream: Iterable[bytes], name: str) -> Iterator[str]:
    r"""Yields lines as `read_lines` does, of data that have one row or more a line.

    Raises:
      UserError: as `read_lines`; all lines are one, as they end with "\r" alone; the first is a note for Excel.
    """
    for number, line in enumerate(read_lines(_divided(stream, name), name)):
        if number == 0 and _NOTE_FOR_EXCEL.fullmatch(line):
            raise UserError(
                f"{name}:1: {line!r} tells Excel what stands between columns, and is no data: delete the line."
            )
        yield line


def _divided(stream: Iterable[bytes], name: str) -> Iterator[bytes]:
    for number, line in enumerate(stream):
        if number == 0 and b"\r" in line.rstrip(b"\r") and b"\n" not in line:
            raise UserError(
                f"{name}: its lines end with a carriage return alone, as on old Macs, so that all of it is one line:"
                f" write it anew with line feeds, as by tr '\\r' '\\n' < {name} > NEW."
            )
        yield line


def data_lines(path: str) -> list[str]:
    """The lines of a data file, without their ends.

    Raises:
      UserError: as `open_bytes` and `read_rows`.
    """
    with open_bytes(path, "the data file") as stream:
        return list(read_rows(stream, path))


class Lines:
    """An iterator of lines; `one_by_one` where a person types them, and waits for each answer."""

    def __init__(self, lines: Iterator[str], *, one_by_one: bool = False):
        self._lines, self.one_by_one = lines, one_by_one

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        return next(self._lines)


def chunks(lines: Iterable[str], at_once: int = LINES_AT_ONCE) -> Iterator[list[str]]:
    """Lines in lists, to be answered together: up to so many, fewer where they are long."""
    most = 1 if getattr(lines, "one_by_one", False) else at_once
    chunk: list[str] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line)
        if len(chunk) == most or characters >= CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def standard_input(needed: str) -> Iterable[bytes]:
    """What is piped in, or typed by a person, who is asked for what is needed.

    Raises:
      UserError: it is closed.
    """
    if sys.stdin is None:
        raise UserError(f"Nothing on standard input: pipe {needed} into it, or name a file to read.")
    if sys.stdin.isatty():
        print(f"{needed.capitalize()}, please; Ctrl-D ends.", file=sys.stderr)
    return sys.stdin.buffer


@contextlib.contextmanager
def open_lines(path: str = "") -> Iterator[Lines]:
    """The lines of a file, or of standard input where the path is empty or "-".

    Raises:
      UserError: the file cannot be read, there are no lines, or standard input is closed.
    """
    with contextlib.ExitStack() as stack:
        if path and path != "-":
            lines = read_lines(stack.enter_context(open_bytes(path)), path)
        else:
            lines = read_lines(standard_input("one text a line"))
        first = next(lines, None)
        if first is None:
            name = path or "standard input"
            raise UserError(f"Nothing on {name}: one text a line is needed, as in `echo text | …`.")
        yield Lines(itertools.chain([first], lines), one_by_one=not path and sys.stdin.isatty())
