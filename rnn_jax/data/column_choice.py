"""Which columns of a file hold words and labels: by number, by name, or as the format has them."""

import re
from collections.abc import Callable
from typing import NamedTuple

from rnn_jax.errors import UserError

# Of CoNLL-U; in the earlier CoNLL-X, words, lemmas and the two kinds of parts of speech have the same places.
CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_CONLL_U_WORDS, _CONLL_U_LABELS = "form", "upos"
TOKEN_NAMES = ("tokens", "token", "words", "word", "form", "text")
_UNUSED = ("_", "-")


class ColumnChoice(NamedTuple):
    """Where words and labels are, from 0 or backwards from -1; how many columns have names, 0 for any; what to say.

    flag: as given. note: of what nobody asked for.
    """

    token: int
    label: int | None
    num_names: int
    flag: str
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Sentences may differ in their columns, as long as they have these: both are counted from the first one."""
        return not self.num_names and self.token >= 0 and self.label is not None and self.label >= 0

    def places(self, width: int, need_labels: bool, error: Callable[[str], UserError]) -> tuple[int, int | None]:
        """The columns of words and labels, from 0, among `width`; error: makes one of what is wrong with a line."""

        def resolve(at: int) -> int | None:
            return at % width if -width <= at < width else None

        token_at = resolve(self.token)
        label_at = None if self.label is None else resolve(self.label)
        if label_at == token_at:  # −1 in a file with words alone
            label_at = None
        is_tokens_alone = token_at is not None and label_at is None and not need_labels
        if self.num_names not in (0, width) and not is_tokens_alone:
            raise error(
                f"{columns_text(width)} where {self.flag} names {self.num_names}; one that is not used is called '_'."
            )
        if token_at is None:
            raise error(f"{columns_text(width)}, so {self.flag} gives the words none (numbers count from 0).")
        if label_at is None and need_labels:
            if width == 1:
                raise error(
                    "1 column, so the file has no labels; a word and its label are needed on each line, with tabs or"
                    " spaces between them."
                )
            raise error(f"{columns_text(width)}, so {self.flag} gives the labels none of their own (counted from 0).")
        return token_at, label_at


def columns_text(count: int) -> str:
    """So many columns, in words."""
    return "1 column" if count == 1 else f"{count} columns"


def choose_columns(
    columns: tuple[str, ...], token_field: str, label_field: str, need_labels: bool, *, is_conll_u: bool
) -> ColumnChoice:
    """What the flags choose; see `read_column_file`.

    Raises:
      UserError: they contradict themselves.
    """
    flag = f"--columns={','.join(columns)}"
    are_numbers = [bool(re.fullmatch(r"-?[0-9]{1,9}", column)) for column in columns]
    if not columns and is_conll_u:
        fields = (token_field or _CONLL_U_WORDS, label_field or _CONLL_U_LABELS)
        token, label = _pick_names(CONLL_U, *fields, need_labels, f"CoNLL-U, {','.join(CONLL_U)}")
        others = "" if token_field or label_field else "; --label_field or --columns can name others"
        note = f"read as CoNLL-U, words from {token} and labels from {label}{others}."
        return ColumnChoice(CONLL_U.index(token), CONLL_U.index(label), 0, flag, note)
    if all(are_numbers):  # also of none
        return _numbered([int(column) for column in columns], token_field, label_field, need_labels, flag)
    if any(are_numbers):
        raise UserError(f"{flag} mixes names and numbers: give the two numbers alone, or a name for every column.")
    token, label = _pick_names(columns, token_field, label_field, need_labels, flag)
    in_conll_u = [name.lower() for name in (token, label) if name]
    if is_conll_u and len(columns) < len(CONLL_U) and {*in_conll_u} <= {*CONLL_U}:
        places = [CONLL_U.index(name) for name in in_conll_u]
        return ColumnChoice(places[0], places[1] if label else None, 0, flag)
    return ColumnChoice(columns.index(token), columns.index(label) if label else None, len(columns), flag)


def _numbered(numbers: list[int], token_field: str, label_field: str, need_labels: bool, flag: str) -> ColumnChoice:
    if given := [f"--{n}={v}" for n, v in (("token_field", token_field), ("label_field", label_field)) if v]:
        raise UserError(
            f"{' and '.join(given)}: column files have no header, so name the columns in their order as well,"
            " as in --columns=id,form,lemma,upos."
        )
    if not numbers:
        return ColumnChoice(0, -1, 0, flag)
    if len(numbers) > 2 or len(set(numbers)) < len(numbers):
        raise UserError(
            f"{flag}: two different numbers are needed, that of the words and that of the labels, as in 0,3."
        )
    if len(numbers) == 1 and need_labels:
        raise UserError(f"{flag} has no labels: add the number of their column, as in --columns={numbers[0]},-1.")
    return ColumnChoice(numbers[0], numbers[1] if len(numbers) == 2 else None, 0, flag)


def _pick_names(
    columns: tuple[str, ...], token_field: str, label_field: str, need_labels: bool, flag: str
) -> tuple[str, str]:
    """The names of the two columns; that of the labels is "" where there is none, or several that nobody needs."""
    names = [name for name in columns if name not in _UNUSED]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{flag} names {twice[0]!r} twice; columns that are not used can all be called '_'.")
    for which, field in (("token_field", token_field), ("label_field", label_field)):
        if field and field not in names:
            raise UserError(f"--{which}={field} is none of the columns: {flag}.")
    if token_field and token_field == label_field:
        raise UserError(f"--token_field and --label_field are both {token_field!r}; they must differ.")
    tokens = [token_field] if token_field else [n for n in names if n.lower() in TOKEN_NAMES and n != label_field]
    if not tokens:
        raise UserError(f"{flag}: none is called tokens, words, form or text; choose the words with --token_field.")
    if len(tokens) > 1:
        raise UserError(f"{flag}: {', '.join(tokens)} can all be the words; choose one with --token_field.")
    labels = [label_field] if label_field else [name for name in names if name != tokens[0]]
    if need_labels and not labels:
        raise UserError(f"{flag} has no labels: name their column, too.")
    if need_labels and len(labels) > 1:
        raise UserError(f"{flag}: {', '.join(labels)} can all be the labels; choose one with --label_field.")
    return tokens[0], labels[0] if len(labels) == 1 else ""
