"""Sentences with labels, from datasets and column files of every kind; and what a tagger reads of them."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data.builders import TEXTS, classes, prepare, prepare_conll2003

from rnn_jax.data.parts import is_file as names_a_file
from rnn_jax.data.tagging import load_tagged_part, load_tagging
from rnn_jax.data.tagging_config import TaggedTextConfig, WordsConfig
from rnn_jax.errors import UserError
from rnn_jax.tagging.spans import spans_of
from rnn_jax.text.tagging_codec import TaggingCodec, fit_tagging_codec


@pytest.fixture(scope="session")
def tagged_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagged")
    ada = (["Ada", "Lovelace", "left", "Paris"], ["B-PER", "I-PER", "O", "B-LOC"])
    prepare_conll2003(folder, {"train": [ada] * 6, "dev": [ada] * 2, "test": [ada] * 3})
    # The official features of universal_dependencies, as far as they are sequences.
    words = ["do", "n't", "go"]  # xpos: TFDS writes "None" for what the CoNLL-U file leaves open
    ud = {"idx": "1", "text": "don't go", "tokens": ["don't", *words], "lemmas": ["_", "do", "not", "go"]}
    ud |= {"upos": [2, 0, 1, 0], "xpos": ["None", "VB", "RB", "VB"], "head": ["None", "0", "1", "1"]}
    prepare(
        folder,
        "universal_dependencies",
        {"idx": tfds.features.Text(), "text": tfds.features.Text(), "tokens": TEXTS, "lemmas": TEXTS}
        | {"upos": classes("VERB", "PART", "_"), "xpos": TEXTS, "head": TEXTS},
        {"train": [ud] * 5, "dev": [ud], "test": [ud]},
        config="xx_tiny",
    )
    plain = {"words": TEXTS, "tag": classes("A", "B")}
    good = {"words": ["x", "y"], "tag": [0, 1]}
    prepare(folder, "uneven", plain, {"train": [good, good, {"words": ["x", "y"], "tag": [0]}]})
    empty = {"words": [], "tag": []}
    prepare(folder, "odd", plain, {"train": [good, empty, good], "test": [{"words": ["x"], "tag": [-1]}]})
    return str(folder)


def load(seed=0, **knobs):
    return load_tagging(TaggedTextConfig(**knobs), seed=seed)


def test_named_entities_with_the_official_features(tagged_dir):
    data = load(dataset="conll2003", label_field="ner", data_dir=tagged_dir)
    assert data.scheme == "bio"
    assert data.label_names[:3] == ("O", "B-PER", "I-PER") and len(data.label_names) == 9
    assert data.train.tokens[0] == ["Ada", "Lovelace", "left", "Paris"]
    assert data.test.labels[2] == ["B-PER", "I-PER", "O", "B-LOC"]
    assert [len(part.tokens) for part in (data.train, data.validation, data.test)] == [6, 2, 3]
    with pytest.raises(UserError, match=r"several fields can be the label: chunks, ner, pos.*--label_field"):
        load(dataset="conll2003", data_dir=tagged_dir)
    with pytest.raises(UserError, match=r"no label field 'nre'.*Did you mean 'ner'"):
        load(dataset="conll2003", label_field="nre", data_dir=tagged_dir)
    assert load(dataset="conll2003", label_field="pos", data_dir=tagged_dir).scheme == ""


@pytest.mark.parametrize(
    ("field", "names"), [("", ("VERB", "PART")), ("upos", ("VERB", "PART")), ("xpos", ("RB", "VB"))]
)
def test_ignored_labels_stay_as_context_or_go(tagged_dir, field, names):
    knobs = {"dataset": "universal_dependencies/xx_tiny", "data_dir": tagged_dir, "label_field": field}
    kept = load(**knobs)
    assert kept.label_names == names and kept.scheme == ""
    assert kept.train.tokens[0] == ["don't", "do", "n't", "go"]
    assert kept.train.labels[0][0] == "" and "" not in kept.train.labels[0][1:]
    what = "without a label" if field == "xpos" else "labelled _"
    assert f"Words {what} are in no loss and no metric, and kept as context: 5 in" in kept.notes[0]
    dropped = load(**knobs, ignored_tokens="drop")
    assert dropped.train.tokens[0] == ["do", "n't", "go"] and "" not in dropped.train.labels[0]
    assert "dropped: 5 in universal_dependencies/xx_tiny train, 1 in" in dropped.notes[0]
    assert ("_" in load(**knobs, ignore_label=()).label_names) == (field != "xpos")


def test_sentences_that_cannot_be_used(tagged_dir):
    with pytest.raises(UserError, match=r"uneven train: sentence 3 has 2 words but 1 tag; every word needs one label"):
        load(dataset="uneven", data_dir=tagged_dir)
    data = load(dataset="odd", data_dir=tagged_dir)  # an empty sentence, and a test part whose labels are hidden
    assert len(data.train.tokens) + len(data.validation.tokens) == 2
    assert data.test is None and any("The labels of odd test are hidden" in note for note in data.notes)
    assert "Sentences without words are left out: 1 in odd train." in data.notes
    config = TaggedTextConfig(dataset="odd", data_dir=tagged_dir)
    with pytest.raises(UserError, match="labels of odd test are hidden, so there is nothing to score"):
        load_tagged_part(config, "test", data.label_names, "")


@pytest.fixture
def write(tmp_path):
    def write(name, *sentences):
        text = "\n".join("\n".join(" ".join(pair) for pair in sentence) + "\n" for sentence in sentences)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


ADA = [("Ada", "B-PER"), ("Lovelace", "I-PER"), ("left", "O")]
ROME = [("Rome", "B-LOC"), ("fell", "O")]


def test_column_files(write):
    train, test = write("a.conll", ADA, ROME, ADA, ROME), write("b.conll", ROME)
    data = load(train_file=train, test_file=test, validation_fraction=0.25)
    assert data.label_names == ("B-LOC", "B-PER", "I-PER", "O", "I-LOC") and data.scheme == "bio"
    assert len(data.train.tokens) == 3 and len(data.validation.tokens) == 1
    assert data.test == ([["Rome", "fell"]], [["B-LOC", "O"]])
    part = load_tagged_part(TaggedTextConfig(train_file=train), test, data.label_names, "bio")
    assert part == data.test


def test_labels_that_training_does_not_have(write):
    train, test = write("a.conll", ADA, ROME), write("b.conll", ROME, [("Acme", "B-ORG")])
    with pytest.raises(UserError, match=r"b.conll:4: the label 'B-ORG' of 'Acme' does not occur in the training data"):
        load(train_file=train, test_file=test)
    with pytest.raises(UserError, match=r"b.conll:4: the label 'B-ORG'"):
        load_tagged_part(TaggedTextConfig(), test, ("O", "B-LOC"), "bio")


def test_labels_that_are_no_tags(write):
    with pytest.raises(UserError, match="the only label is O"):
        load(train_file=write("a.conll", [("a", "O")], [("b", "O")]))
    words = [[(f"w{i}", f"label{i}")] for i in range(60)]
    with pytest.raises(UserError, match="60 different labels for 60 words are no classes"):
        load(train_file=write("b.conll", *words))
    with pytest.raises(UserError, match=r"the labels are no spans in --span_scheme=bio"):
        load(train_file=write("c.conll", [("a", "NN"), ("b", "VB")] * 3, [("a", "NN")]), span_scheme="bio")


def tagged(text):
    """Sentences w0 w1 … with these labels."""
    return [[(f"w{i}", label) for i, label in enumerate(row.split())] for row in text.split("/")]


IOB1, BIO, BIOES = (
    "I-PER I-PER I-PER O I-LOC / I-PER B-PER O / O I-LOC",
    "B-PER I-PER I-PER O B-LOC / B-PER B-PER O / O B-LOC",
    "B-PER I-PER E-PER O S-LOC / S-PER S-PER O / O S-LOC",
)
BILOU, BMES = (BIOES.replace("E-", "L-").replace("S-", "U-"), BIOES.replace("I-", "M-"))


class TestEachPartSpellsInItsOwnWay:
    @pytest.mark.parametrize(("train", "scheme"), [(IOB1, "iob1"), (BIO, "bio"), (BIOES, "bioes")])
    @pytest.mark.parametrize(
        ("other", "name"), [(IOB1, "iob1"), (BIO, "bio"), (BIOES, "bioes"), (BILOU, "BILOU"), (BMES, "BMES")]
    )
    def test_all_are_read_as_training_has_them(self, write, train, scheme, other, name):
        paths = [
            write("a.conll", *tagged(train) * 2),
            write("b.conll", *tagged(other)),
            write("c.conll", *tagged(train)),
        ]
        data = load(train_file=paths[0], validation_file=paths[2], test_file=paths[1])
        expected = [row.split() for row in train.split("/")]  # the same spans in the training data's own words
        assert data.scheme == scheme and data.test.labels == data.validation.labels == expected
        note = f"{paths[1]} spells spans in {name}: its labels are read as {scheme}, as the training data has them."
        assert (note in data.notes) == (name != scheme)
        config = TaggedTextConfig(train_file=paths[0])
        assert load_tagged_part(config, paths[1], data.label_names, scheme).labels == expected

    def test_other_letters_in_training(self, write):
        path = write("a.conll", *tagged(BILOU) * 2)
        data = load(train_file=path, validation_file=write("b.conll", *tagged(BIO)))
        assert data.scheme == "bioes" and data.label_names[0] == "B-PER"
        assert set(data.label_names) == {"O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC"))}
        assert data.train.labels[:3] == data.validation.labels == [row.split() for row in BIOES.split("/")]
        assert f"{path} spells spans in BILOU: its labels are read as bioes." in data.notes

    def test_a_scheme_that_is_stated_is_that_of_all_parts(self, write):
        paths = [write("a.conll", *tagged(BIO) * 2), write("b.conll", *tagged(IOB1))]
        data = load(train_file=paths[0], validation_file=paths[1], span_scheme="bio")
        assert data.validation.labels == [row.split() for row in IOB1.split("/")]
        assert any(f"{paths[1]}: 1 spans are spelt by the letter of bio, 5 as" in note for note in data.notes)

    def test_a_label_is_called_as_its_file_has_it(self, write):
        test = write("b.conll", *tagged("B-PER L-PER / U-ORG"))
        with pytest.raises(UserError, match=r"b.conll:4: the label 'U-ORG' of 'w0' does not occur"):
            load(train_file=write("a.conll", *tagged(BIO) * 2), test_file=test)

    def test_ignored_words_keep_their_labels(self, write):
        data = load(train_file=write("a.conll", *tagged(BIO) * 2), test_file=write("b.conll", *tagged("I-PER _ I-PER")))
        assert data.test.labels == [["B-PER", "", "I-PER"]]


def test_tags_without_types(write):
    data = load(train_file=write("a.conll", *tagged("B I O / B B / O") * 4), label_field="")
    assert (data.scheme, data.label_names) == ("bio", ("B", "I", "O"))
    inputs = fit_tagging_codec(WordsConfig(label_scheme="bioes"), data.train.tokens, data.label_names, scheme="bio")
    assert inputs.model_labels == ("O", "B", "I", "E", "S")
    ids = inputs.encode([["a", "b", "c"]], [["B", "I", "O"]]).labels.row(0)
    assert [inputs.model_labels[i] for i in ids] == ["B", "E", "O"] and inputs.tags(ids) == ["B", "I", "O"]
    marginals = np.array([[0.125, 0.25, 0, 0, 0.625], [0.25, 0, 0.25, 0.5, 0]])  # of O B I E S
    assert inputs.probabilities(["B", "I"], marginals) == [0.875, 0.75]


ODD = {
    "an underscore": ("B_PER", "Write 'B-PER'; or"),
    "a small letter": ("o", "Write 'O'; or"),
    "the type first": ("PER-B", "Write 'B-PER'; or"),
    "no type": ("I", "Mend it; or"),
    "another scheme": ("S-PER", "Mend it; or"),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("in_test", [False, True])
def test_an_odd_label_is_named_with_its_line(write, case, in_test):
    label, advice = ODD[case]
    good, bad = tagged(BIO) * 50, [*tagged(BIO) * 50, [("Ann", "O"), ("Lee", label)]]
    train, test = write("a.conll", *(good if in_test else bad)), write("b.conll", *bad)
    name, line = ("b" if in_test else "a"), 50 * 13 + 2  # 10 words and 3 blank lines each time
    message = (
        rf"{name}.conll:{line}: the label '{label}' of 'Lee' is no span tag of bio, .*{advice} --ignore_label=_,{label}"
    )
    with pytest.raises(UserError, match=message):
        load(train_file=train, test_file=test)
    if in_test:
        with pytest.raises(UserError, match=message):
            load_tagged_part(TaggedTextConfig(train_file=train), test, ("O", "B-PER", "I-PER", "B-LOC"), "bio")
    else:
        ignored = load(train_file=train, test_file=train, ignore_label=("_", label))
        assert ignored.scheme == "bio" and ignored.test.labels[-1] == ["O", ""]
        plain = load(train_file=train, test_file=train, span_scheme="none")
        assert plain.scheme == "" and label in plain.label_names


def test_a_header_line_is_named(write):
    path = write("a.conll", [("Wort", "Klasse"), *tagged(BIO)[0]], *tagged(BIO) * 50)
    with pytest.raises(UserError, match=r"a.conll:1: the label 'Klasse' of 'Wort' is .* or delete the line if"):
        load(train_file=path)


def test_tags_that_are_all_spelt_otherwise_are_noted(write):
    path = write("a.conll", *tagged(BIO.replace("-", "_")) * 4)
    data = load(train_file=path)
    assert data.scheme == ""
    assert any("plain classes, without scores of spans: write 'B-" in note for note in data.notes)


def test_no_blank_line_between_sentences(write):
    path = write("a.conll", [(f"w{i}", "AB"[i % 2]) for i in range(600)])
    with pytest.raises(UserError, match=r"a.conll: all 600 words are one sentence, as there is no blank line"):
        load(train_file=path)
    notes = load(train_file=path, validation_file=path).notes
    assert f"{path} has no blank line: its 600 words are one sentence." in notes


def test_spans_that_are_not_spelt_as_stated(write):
    train = write("a.conll", ADA, ROME, [("Bob", "I-PER")])
    data = load(train_file=train)
    assert data.scheme == "bio"  # with damage
    assert "2 spans are spelt by the letter of bio, 3 as conlleval reads them" in data.notes[0]
    assert "0 spans are spelt by the letter of bioes, 3" in load(train_file=train, span_scheme="bioes").notes[0]
    assert not any("spelt by" in note for note in load(train_file=write("b.conll", ADA, ROME)).notes)


def test_field_flags_of_a_dataset_do_not_concern_files(tagged_dir, write):
    knobs = {"dataset": "conll2003", "label_field": "ner", "data_dir": tagged_dir}
    data = load(**knobs, test_file=write("a.conll", ROME))
    assert data.test == ([["Rome", "fell"]], [["B-LOC", "O"]])
    with pytest.raises(UserError, match="--label_field=ner"):
        load(train_file=write("b.conll", ADA, ROME), label_field="ner")


@pytest.mark.parametrize(
    ("name", "is_file"),
    [("test", False), ("", False), ("test[:10%]", False), ("train[0.5:]", False), ("my.conll", True)],
)
def test_names_of_files_and_splits(name, is_file):
    assert names_a_file(name) is is_file


SENTENCES = [["Ada", "Lovelace", "left", "Paris"], ["paris", "fell"]]
LABELS = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", ""]]
NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def fit(**knobs):
    return fit_tagging_codec(WordsConfig(**knobs), SENTENCES, NAMES, scheme="bio")


def test_words_characters_and_labels_are_numbers():
    inputs = fit(max_characters=5)
    assert inputs.words[:2] == ("Ada", "Lovelace") and inputs.num_words == 2 + 6
    encoded = inputs.encode([["Ada", "ADA", "Lovelace"], ["Ada"]], [["B-PER", "O", "O"], [""]])
    arrays = inputs.batch(encoded, np.array([0, 1, -1]), 4)
    assert arrays["words"].tolist() == [[2, 1, 3, 0], [2, 0, 0, 0], [0] * 4]  # 0 padding, 1 unknown
    letters = {c: i + 2 for i, c in enumerate(inputs.characters)}
    assert arrays["characters"][0, 0].tolist() == [letters["A"], letters["d"], letters["a"], 0, 0]
    assert arrays["characters"][0, 1].tolist() == [letters["A"], 1, letters["A"], 0, 0]  # no D in the training data
    assert arrays["characters"][0, 2].tolist() == [letters[c] for c in "Lovce"]  # first and last ones of a long word
    assert arrays["characters"][0, 3].tolist() == [0] * 5
    assert arrays["labels"].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0] * 4]
    assert arrays["weights"].tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [0] * 4]
    assert arrays["lengths"].tolist() == [3, 1, 0]


def test_lower_case_frequency_and_size():
    assert fit(lowercase=True).words == ("paris", "ada", "fell", "left", "lovelace")  # twice; then the alphabet
    assert fit(lowercase=True, min_count=2).words == ("paris",)
    assert fit(vocabulary_size=3).words == ("Ada",)
    encoded = fit(lowercase=True).encode([["PARIS"]])
    assert encoded.word_ids.tolist() == [0, 2]


def test_the_models_own_scheme():
    inputs = fit(label_scheme="bioes")
    assert inputs.model_labels[0] == "O" and set(inputs.model_labels) == {
        "O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC"))
    }  # fmt: skip
    ids = inputs.encode(SENTENCES, LABELS).labels
    names = [[inputs.model_labels[i] if i >= 0 else None for i in ids.row(row)] for row in range(2)]
    assert names == [["B-PER", "E-PER", "O", "S-LOC"], ["S-LOC", None]]
    assert inputs.tags(ids.row(0)) == LABELS[0]


def test_damaged_spans_are_mended_for_training():
    """An I- without a B- before it would be impossible for a CRF that is kept to legal sequences."""
    inputs = fit()
    ids = inputs.encode([["a", "b", "c"]], [["O", "I-PER", "I-LOC"]]).labels
    assert inputs.tags(ids.row(0)) == ["O", "B-PER", "B-LOC"]


def test_inputs_survive_the_disk(tmp_path):
    inputs = fit(label_scheme="bioes", lowercase=True)
    inputs.save(tmp_path)
    assert TaggingCodec.load(tmp_path) == inputs
    assert inputs.digest == TaggingCodec.load(tmp_path).digest != fit().digest
    before = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    (tmp_path / "codec.json").unlink()
    (tmp_path / "tagging_inputs.json").write_text(json.dumps(before))  # as earlier releases kept them
    assert TaggingCodec.load(tmp_path) == inputs
    (tmp_path / "tagging_inputs.json").write_text("{")
    with pytest.raises(UserError, match="no readable codec.json"):
        TaggingCodec.load(tmp_path)
    with pytest.raises(UserError, match="run directory"):
        TaggingCodec.load(tmp_path / "nowhere")
    assert np.array_equal(inputs.encode(SENTENCES).forms.lengths, [4, 2])


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-PER O", "O I-LOC I-LOC"], "auto"),  # a type that never begins
        (["B-PER E-PER O", "B-LOC O", "S-PER O"], "auto"),  # one that is cut off
        (["I-PER O", "O I-PER B-PER", "B-PER O I-PER"], "auto"),  # IOB1 with a stray B-
        (["I-PER I-PER O", "O I-LOC"], "bio"),
        (["B-PER I-PER O", "O B-LOC"], "bioes"),
    ],
)
@pytest.mark.parametrize("label_scheme", ["same", "bio", "bioes", "iob1"])
def test_damaged_spans_can_be_learned(write, tags, scheme, label_scheme):
    rows = [[(f"w{i}", tag) for i, tag in enumerate(row.split())] for row in tags]
    data = load(train_file=write("a.conll", *rows * 4), span_scheme=scheme)
    config = WordsConfig(label_scheme=label_scheme)
    inputs = fit_tagging_codec(config, data.train.tokens, data.label_names, scheme=data.scheme)
    labels = inputs.encode(data.train.tokens, data.train.labels).labels
    for i, row in enumerate(data.train.labels):
        learned = spans_of(inputs.tags(labels.row(i)), data.scheme)  # by the letter, what conlleval reads
        assert learned == spans_of(row, data.scheme, strict=False)


def test_a_span_goes_on_behind_an_ignored_word():
    inputs = fit(label_scheme="bioes")
    ids = inputs.encode([["a", "b", "c"]], [["B-PER", "", "I-PER"]]).labels
    assert [inputs.model_labels[i] if i >= 0 else "" for i in ids.row(0)] == ["B-PER", "", "E-PER"]


def test_classes_that_never_occur(tmp_path):
    names = ("O", "B-PER", "I-PER", "E-PER", "S-PER", "X")
    row = {"tokens": ["a", "b", "c"], "tags": [1, 2, 0]}
    prepare(tmp_path, "unused", {"tokens": TEXTS, "tags": classes(*names)}, {"train": [row] * 4})
    data = load(dataset="unused", data_dir=str(tmp_path))
    assert data.scheme == "bioes" and data.label_names == names[:5]


def test_unknown_words_in_lower_case_where_vectors_know_them_so():
    inputs = dataclasses.replace(fit(), words=("paris", "Paris"), lowercase_unknown=True)
    assert inputs.encode([["Paris", "PARIS", "Rome"]]).word_ids.tolist() == [0, 3, 2, 1]
    assert dataclasses.replace(inputs, lowercase_unknown=False).encode([["PARIS"]]).word_ids.tolist() == [0, 1]


def test_the_probability_of_a_tag_is_that_of_all_its_spellings():
    inputs = fit(label_scheme="bioes")
    names = list(inputs.model_labels)
    marginals = np.zeros((2, len(names)))
    marginals[0, [names.index("B-PER"), names.index("S-PER"), names.index("O")]] = 0.5, 0.25, 0.25
    marginals[1, [names.index("I-PER"), names.index("E-PER"), names.index("B-PER")]] = 0.375, 0.5, 0.125
    assert inputs.probabilities(["B-PER", "I-PER"], marginals) == [0.75, 0.875]
    assert inputs.probabilities(["O", "B-PER"], marginals) == [0.25, 0.125]
    same = fit()
    assert same.probabilities(["B-LOC"], np.arange(5.0)[None]) == [same.label_names.index("B-LOC")]
