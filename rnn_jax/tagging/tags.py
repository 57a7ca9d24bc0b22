"""One tag of a span: a letter, and the type of the span.

"B-PER" begins a PER. Where there is one type only, tags may lack it: "B", "I", "O"; the type is then called "_", as in
seqeval. A type may be any text, hyphens included.
"""

from functools import lru_cache

from rnn_jax.errors import UserError

LETTERS = {"iob1": "BI", "bio": "BI", "bioes": "BIES"}
SCHEMES = tuple(LETTERS)
OUTSIDE = "O"
UNTYPED = "_"


@lru_cache(maxsize=4096)
def tag_parts(tag: str) -> tuple[str, str] | None:
    """Letter and type: "B-PER" → ("B", "PER"), "B" → ("B", "_"), "O" → ("O", ""), anything else → None."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if len(tag) == 1 and tag in "BIES":
        return tag, UNTYPED
    return (tag[0], tag[2:]) if len(tag) > 2 and tag[0] in "BIES" and tag[1] == "-" else None


def make_tag(letter: str, kind: str) -> str:
    """The tag of a span's token."""
    return letter if kind == UNTYPED else f"{letter}-{kind}"


def parts_in_scheme(tag: str, scheme: str) -> tuple[str, str]:
    """Letter and type.

    Raises:
      UserError: it is no span tag, or none of the scheme.
    """
    if (parts := tag_parts(tag)) is None:
        raise UserError(f"{tag!r} is no span tag: those are O and B-X, I-X, E-X, S-X for a type X.")
    if parts[0] not in OUTSIDE + LETTERS[scheme]:
        raise UserError(f"The scheme {scheme!r} has no tag {tag!r}: E- and S- are tags of 'bioes'.")
    return parts
