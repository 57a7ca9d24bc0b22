"""Which labels a tagger chooses from, and the labels of all parts in one spelling: that of the training data."""

from collections.abc import Mapping, Sequence

from rnn_jax.data.labelled import listed_classes
from rnn_jax.data.normal_form import nfc
from rnn_jax.data.tagged import TaggedPart
from rnn_jax.data.tagging_config import TaggedTextConfig
from rnn_jax.errors import UserError
from rnn_jax.metrics.tagging import UNLABELLED
from rnn_jax.tagging.spans import scheme_labels, spans_of, to_scheme
from rnn_jax.tagging.spelling import Spelling, find_spelling, meant, spelt_otherwise
from rnn_jax.tagging.tags import LETTERS, OUTSIDE, tag_parts


def ignored_labels(config: TaggedTextConfig) -> frozenset[str]:
    """Words with these count nowhere."""
    return frozenset([UNLABELLED, *map(nfc, config.ignore_label)])


def spelling_of(config: TaggedTextConfig, part: TaggedPart) -> Spelling:
    """How a part spells spans.

    Raises:
      UserError: a label that is no span tag, though most are (names the place). It is a slip, or a header, and no score
        of spans would be right with it: seqeval counts "B_PER" as a span of the type "_PER", and refuses other ones.
    """
    if config.span_scheme == "none":
        return Spelling("")
    rows = _counted_rows(config, part)
    spelling = find_spelling(rows, config.span_scheme.replace("auto", ""))
    if spelling.odd:
        raise _odd_label(config, part, spelling)
    return spelling


def training_labels(config: TaggedTextConfig, train: TaggedPart) -> tuple[tuple[str, ...], str, Spelling]:
    """The labels, without the ignored ones; the scheme in which they spell spans, "" for none; how `train` spells them.

    They are those that the source names, else those that occur, in alphabetic order. In a scheme, what is missing of
    it (an I-PER where there is a B-PER) comes after them, and classes that are no span tags and never occur go.

    Raises:
      UserError: one label only, or nearly as many as words; as `spelling_of`.
    """
    ignored = ignored_labels(config)
    names = train.class_names or tuple(sorted({label for row in train.labels for label in row}))
    names = tuple(name for name in names if name not in ignored)
    if len(names) < 2:
        listed = names[0] if names else "none that counts"
        raise UserError(f"{train.name}: the only label is {listed}; a tagger needs at least two.")
    num_words = sum(map(len, train.tokens))
    if not train.class_names and num_words >= 50 and len(names) > num_words / 2:
        raise UserError(
            f"{train.name}: {len(names)} different labels for {num_words} words are no classes; name another column"
            " or field with --columns or --label_field."
        )
    spelling = spelling_of(config, train)
    if not spelling.scheme:
        return names, "", spelling
    scheme = spelling.scheme
    parts_of = {name: tag_parts(name) for name in map(spelling.canonical, names)}
    if config.span_scheme == "auto" and any(parts and parts[0] in "ES" for parts in parts_of.values()):
        scheme = "bioes"  # the source knows these classes, though none occurs
    tags = [name for name, parts in parts_of.items() if parts and parts[0] in OUTSIDE + LETTERS[scheme]]
    return tuple(dict.fromkeys([*tags, *scheme_labels(tags, scheme)])), scheme, spelling


def in_one_spelling(
    config: TaggedTextConfig, part: TaggedPart, spelling: Spelling, label_names: tuple[str, ...], scheme: str
) -> TaggedPart:
    """The part with its spans spelt in the scheme of the training data; what its own scheme does not have is mended.

    Raises:
      UserError: a label that the training data does not have (names the place).
    """
    ignored = ignored_labels(config)
    rows = part.labels
    if scheme and spelling.scheme:
        spelt = {label: spelling.canonical(label) for label in {label for row in rows for label in row}}
        rows = [_respelled(row, ignored, spelt, spelling.scheme, scheme) for row in rows]
    known = {*label_names, *ignored}
    for i, row in enumerate(rows):
        for j, label in enumerate(row):
            if label not in known:
                own = part.labels[i][j]
                raise UserError(
                    f"{part.where(i, j)}: the label {own!r} of {part.tokens[i][j]!r} does not occur in the training"
                    f" data, which has {listed_classes(label_names)}."
                    f" {_ignoring(config, own)} leaves such words out."
                )
    return part._replace(labels=rows)


def spelling_notes(
    config: TaggedTextConfig, part: TaggedPart, spelling: Spelling, scheme: str, *, is_train: bool
) -> list[str]:
    """What should be known of how a part as it was read spells spans."""
    rows = _counted_rows(config, part)
    if not scheme:
        like = spelt_otherwise(rows) if is_train and config.span_scheme == "auto" else ""
        hint = f"labels such as {like!r} are plain classes, without scores of spans: write {meant(like)!r} for spans"
        return [f"{part.name}: {hint}."] if like else []
    notes = []
    if spelling.scheme and spelling.name != scheme:
        why = "" if is_train else ", as the training data has them"
        notes.append(f"{part.name} spells spans in {spelling.name}: its labels are read as {scheme}{why}.")
    if spelling.scheme == scheme:
        tags = [[spelling.canonical(label) for label in row] for row in rows]
        strict, lenient = (sum(len(spans_of(row, scheme, strict=strict)) for row in tags) for strict in (True, False))
        if strict != lenient:
            learned = "the model learns the latter, f1 counts the former" if is_train else "f1 counts the former"
            notes.append(
                f"{part.name}: {strict:,} spans are spelt by the letter of {scheme}, {lenient:,} as conlleval reads"
                f" them; {learned}. --span_scheme can name another scheme."
            )
    return notes


def _respelled(
    row: Sequence[str], ignored: frozenset[str], spelt: Mapping[str, str], own_scheme: str, scheme: str
) -> list[str]:
    """A span goes on behind an ignored word."""
    tags = [spelt[label] for label in row if label not in ignored]
    rest = iter(tags if own_scheme == scheme else to_scheme(tags, own_scheme, scheme, strict=False))
    return [label if label in ignored else next(rest) for label in row]


def _counted_rows(config: TaggedTextConfig, part: TaggedPart) -> list[list[str]]:
    """The labels of each sentence that are not ignored."""
    ignored = ignored_labels(config)
    return [[label for label in row if label not in ignored] for row in part.labels]


def _odd_label(config: TaggedTextConfig, part: TaggedPart, spelling: Spelling) -> UserError:
    places = [(i, j) for i, row in enumerate(part.labels) for j, label in enumerate(row) if label in spelling.odd]
    i, j = places[0]
    label, word, where = part.labels[i][j], part.tokens[i][j], part.where(i, j)
    if config.span_scheme != "auto":
        return UserError(
            f"{where}: the labels are no spans in --span_scheme={spelling.scheme}: {label!r} of {word!r} is none of its"
            " tags."
        )
    more = f" (and of {len(places) - 1:,} more such words)" if len(places) > 1 else ""
    mend = f"Write {tag!r}" if (tag := meant(label)) else "Mend it"
    header = ", or delete the line if it is a header" if part.lines and (i, j) == (0, 0) else ""
    return UserError(
        f"{where}: the label {label!r} of {word!r}{more} is no span tag of {spelling.name}, though most labels are."
        f" {mend}{header}; or {_ignoring(config, label)} leaves such words out, and --span_scheme=none takes all labels"
        " for plain classes."
    )


def _ignoring(config: TaggedTextConfig, label: str) -> str:
    return f"--ignore_label={','.join([*config.ignore_label, label])}"
