"""Lines of bytes: UTF-8 checked, only newlines end a line, memory for one line."""

import io
import sys
import tracemalloc

import pytest

from rnn_jax.data.lines import open_lines, read_lines, read_rows
from rnn_jax.errors import UserError


def lines_of(data):
    return list(read_lines(io.BytesIO(data), "f.txt"))


def test_only_newlines_end_a_line():
    # str.splitlines would also split at the form feed, the line separator and the next-line character.
    text = "a\x0cb\u2028c\x85d\r\n\n\r\n last"
    assert lines_of(text.encode()) == ["a\x0cb\u2028c\x85d", "", "", " last"]
    assert lines_of(b"") == []
    assert lines_of(b"a\n") == ["a"]


def test_a_byte_order_mark_is_dropped_at_the_start_only():
    assert lines_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb") == ["a", "\ufeffb"]


def test_emoji_survive():
    assert lines_of("🙂 👩‍👩‍👧\n".encode()) == ["🙂 👩‍👩‍👧"]


def test_lines_are_composed():
    assert lines_of("Zu\u0308rich\nA\u030angstro\u0308m \u2126\n\u0301".encode()) == ["Zürich", "Ångström Ω", "\u0301"]


def rows_of(data):
    return list(read_rows(io.BytesIO(data), "f.csv"))


def test_rows_of_data_say_what_is_wrong_with_all_lines():
    with pytest.raises(UserError, match=r"^f.csv: its lines end with a carriage return alone.*all of it is one line"):
        rows_of(b"a,b\rc,d\r")
    with pytest.raises(UserError, match=r"^f.csv:1: 'sep=;' tells Excel .* delete the line"):
        rows_of(b"sep=;\r\na;b\r\n")
    assert rows_of(b"a\rb,c\nd\re\n") == ["a\rb,c", "d\re"]
    assert rows_of(b"a\r\nsep=;\r\n") == ["a", "sep=;"] and rows_of(b"a\r") == ["a"]
    assert lines_of(b"a\rb") == ["a\rb"]  # of a text, it may be a character


def test_not_utf8_names_line_and_byte():
    lines = read_lines(io.BytesIO(b"good\ncaf\xe9 au lait\n"), "f.txt")
    assert next(lines) == "good"
    with pytest.raises(UserError, match=r"^f.txt:2: not UTF-8 \(byte 0xe9 at byte 4 of the line\)"):
        next(lines)
    with pytest.raises(UserError, match=r"f.txt:1: .*UTF-16"):
        lines_of("text".encode("utf-16"))


def test_memory_does_not_grow_with_the_number_of_lines():
    class Endless(io.RawIOBase):
        left = 2000

        def readable(self):
            return True

        def readinto(self, buffer):
            if not self.left:
                return 0
            self.left -= 1
            line = b"x" * 9999 + b"\n"
            buffer[: len(line)] = line
            return len(line)

    tracemalloc.start()
    count = sum(1 for _ in read_lines(io.BufferedReader(Endless(), 10_000), "f"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2000  # 20 MB in all
    assert peak < 500_000


class FakeStdin:
    def __init__(self, data, terminal=False):
        self.buffer = io.BytesIO(data)
        self.isatty = lambda: terminal


@pytest.mark.parametrize("path", ["", "-"])
def test_standard_input(monkeypatch, path):
    monkeypatch.setattr(sys, "stdin", FakeStdin("\nzwölf\n".encode()))
    with open_lines(path) as lines:
        assert list(lines) == ["", "zwölf"]


def test_nothing_on_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", FakeStdin(b""))
    with pytest.raises(UserError, match="Nothing on standard input"), open_lines():
        pass
    monkeypatch.setattr(sys, "stdin", None)  # closed, as by `<&-`
    with pytest.raises(UserError, match="Nothing on standard input: pipe"), open_lines():
        pass


def test_a_terminal_is_told_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", FakeStdin(b"typed later\n", terminal=True))
    with open_lines() as lines:
        assert list(lines) == ["typed later"]
    assert "Ctrl-D" in capsys.readouterr().err


def test_a_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo")
    with open_lines(str(tmp_path / "a.txt")) as lines:
        assert list(lines) == ["one", "two"]
    missing = str(tmp_path / "missing.txt")
    with pytest.raises(UserError, match=r"Cannot read .*missing.txt: No such file"), open_lines(missing):
        pass
