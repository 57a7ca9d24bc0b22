"""What an encoder–decoder reads of text pairs: ids and arrays worked out by hand, and what comes back from the disk."""

import functools
import os

import numpy as np
import pytest

from rnn_jax.data.batching import Shapes
from rnn_jax.data.sources import in_order
from rnn_jax.data.translation_config import SubwordConfig
from rnn_jax.errors import UserError
from rnn_jax.text.subwords import END_ID, PAD_ID, START_ID
from rnn_jax.text.tagging_codec import TaggingCodec
from rnn_jax.text.text_codec import TextCodec
from rnn_jax.text.translation_codec import TranslationCodec, fit_translation_codec, take_rows
from rnn_jax.text.vocabulary import fit_tokenizer

# Characters by frequency, from id 4 on: a 3, b 2, "␠" 1 of the sources; y 3, x 2, b 1 of the targets.
SOURCES, TARGETS = ["aab", "a b"], ["yxy", "xyb"]
A, B, SPACE = 4, 5, 6
Y, X, TARGET_B = 4, 5, 6


def fit(sources=SOURCES, targets=TARGETS, **knobs):
    return fit_translation_codec(SubwordConfig(**({"tokenizer": "char"} | knobs)), sources, targets)


def rows_of(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged))]


@pytest.fixture
def separate():
    return fit(joint_vocabulary=False)


@pytest.fixture
def encoded(separate):
    return separate.encode(["ab", "", "a bab"], ["xy", "yyx", ""])


def test_separate_vocabularies_know_their_own_side_alone(separate):
    specials = {"[PAD]": 0, "[UNK]": 1, "[START]": 2, "[END]": 3}
    assert separate.source.get_vocab() == specials | {"a": A, "b": B, " ": SPACE}
    assert separate.target.get_vocab() == specials | {"y": Y, "x": X, "b": TARGET_B}
    assert not separate.is_joint
    assert rows_of(separate.encode_sources(["xb", "ba "])[0]) == [[1, B], [B, A, SPACE]]


def test_a_joint_vocabulary_counts_both_sides():
    joint = fit()
    assert joint.is_joint and joint.source is joint.target
    # a, b and y 3 times, in alphabetic order, x twice, the space once
    assert [joint.target.id_to_token(i) for i in range(4, 9)] == ["a", "b", "y", "x", " "]
    encoded = joint.encode(["xa"], ["ax"])
    assert (rows_of(encoded.sources), rows_of(encoded.targets)) == ([[7, 4]], [[4, 7, END_ID]])


def test_vocabulary_knobs_reach_the_tokenizers():
    knobs = {"tokenizer": "bpe", "vocabulary_size": 262, "lowercase": True, "joint_vocabulary": False}
    inputs = fit(["AB ab"] * 2, ["CD cd cd"], **knobs)
    assert [inputs.source.get_vocab_size(), inputs.target.get_vocab_size()] == [262, 262]
    assert rows_of(inputs.encode_sources(["AB", "ab"])[0]) == [[261], [261]]  # merged twice: "ab", then "Ġab"
    assert inputs.text(inputs.encode([""], ["CD"]).targets.row(0)) == "cd"


def test_targets_end_with_the_end_token_and_pairs_are_as_long_as_the_longer_side(encoded):
    assert rows_of(encoded.sources) == [[A, B], [], [A, SPACE, B, A, B]]
    assert rows_of(encoded.targets) == [[X, Y, END_ID], [Y, Y, X, END_ID], [END_ID]]
    assert encoded.lengths.tolist() == [3, 4, 5]
    assert encoded.targets.values.dtype == np.int32


def test_only_sources_are_cut(separate):
    encoded = separate.encode(["abab", "a"], ["xyxy", "x"], max_tokens=2)
    assert rows_of(encoded.sources) == [[A, B], [A]]
    assert rows_of(encoded.targets) == [[X, Y, X, Y, END_ID], [X, END_ID]]
    assert encoded.lengths.tolist() == [5, 2]
    cut, num_cut = separate.encode_sources(["abab", "bab", ""], 3)
    assert rows_of(cut) == [[A, B, A], [B, A, B], []] and num_cut == 1
    assert separate.encode(["abab", "a"], ["b", "abab"], 3).num_cut == 1


def test_arrays_by_hand_with_a_filler_row(separate, encoded):
    rows = np.array([2, 0, -1, 1])
    arrays = separate.batch(encoded, rows, 6)
    assert set(arrays) == {"source", "lengths", "inputs", "labels", "weights"}
    assert arrays["source"].tolist() == [
        [A, SPACE, B, A, B, PAD_ID],
        [A, B, PAD_ID, PAD_ID, PAD_ID, PAD_ID],
        [PAD_ID] * 6,
        [PAD_ID] * 6,
    ]
    assert arrays["lengths"].tolist() == [5, 2, 0, 0]
    # No target of these pairs has more than four tokens, so four are enough.
    assert arrays["labels"].tolist() == [
        [END_ID, 0, 0, 0],
        [X, Y, END_ID, 0],
        [0, 0, 0, 0],
        [Y, Y, X, END_ID],
    ]
    assert arrays["inputs"].tolist() == [
        [START_ID, END_ID, 0, 0],
        [START_ID, X, Y, END_ID],
        [START_ID, 0, 0, 0],
        [START_ID, Y, Y, X],
    ]
    assert arrays["weights"].tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    rounded = separate.batch(encoded, rows, 6, round_up=lambda length: 8)
    assert rounded["source"].shape == rounded["labels"].shape == (4, 8)
    np.testing.assert_array_equal(rounded["labels"][:, :4], arrays["labels"])
    assert not rounded["labels"][:, 4:].any() and not rounded["weights"][:, 4:].any()


def test_every_pair_is_in_one_batch_and_its_texts_come_back():
    rng = np.random.default_rng(0)
    texts = [["".join(rng.choice(list("abc d"), n)).strip() for n in rng.integers(0, 12, 40)] for _ in range(2)]
    inputs = fit(*texts)
    encoded, found, positions, real = inputs.encode(*texts), [], 0, 0
    shapes = Shapes((4, 8, 13), 7, 40)
    for _, arrays in in_order(encoded.lengths, functools.partial(inputs.batch, encoded), shapes):
        positions += arrays["source"].size + arrays["labels"].size
        real += arrays["lengths"].sum() + arrays["weights"].sum()
        for source, length, labels, weights in zip(
            *(arrays[name] for name in ("source", "lengths", "labels", "weights")), strict=True
        ):
            if weights.any():
                ids = labels[: int(weights.sum())]
                assert ids[-1] == END_ID and END_ID not in ids[:-1]
                found.append((inputs.text(source[:length]), inputs.text(ids)))
    assert sorted(found) == sorted(zip(*texts, strict=True))
    assert encoded.padding_waste(shapes) == pytest.approx(1 - real / positions) and real < positions


def test_rows_are_taken_from_both_sides(encoded):
    part = take_rows(encoded, np.array([2, 0]))
    assert rows_of(part.sources) == [[A, SPACE, B, A, B], [A, B]]
    assert rows_of(part.targets) == [[END_ID], [X, Y, END_ID]]
    assert part.lengths.tolist() == [5, 3]
    assert len(take_rows(encoded, np.array([], np.int64)).lengths) == 0


def test_texts_leave_special_tokens_out(separate):
    assert separate.text(np.array([START_ID, X, 1, Y, END_ID, PAD_ID], np.int32)) == "xy"
    assert separate.text([X, TARGET_B]) == "xb"


def test_pieces_are_spelt_with_signs_for_white_space_and_the_end(separate):
    source, target = separate.pieces(np.array([A, SPACE, B]), np.array([Y, TARGET_B, END_ID]))
    assert (source, target) == (["a", "␣", "b"], ["y", "b", "⏎"])
    bpe = fit(["ab ab"] * 3, ["cd"], tokenizer="bpe", vocabulary_size=262)
    source, target = bpe.pieces(bpe.encode_sources(["ab b"])[0].row(0), bpe.encode([""], ["ab"]).targets.row(0))
    assert (source, target) == (["ab", "␣", "b"], ["ab", "⏎"])


def as_before(codec, directory):
    """Keeps the tokenizers as earlier releases did."""
    for side in ("source", "target"):
        (directory / f"{side}_tokenizer.json").write_text(getattr(codec, side).to_str())


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("save", [lambda codec, directory: codec.save(directory), as_before])
def test_codecs_survive_the_disk(tmp_path, joint, save):
    codec = fit(joint_vocabulary=joint)
    save(codec, tmp_path)
    again = TranslationCodec.load(tmp_path)
    assert again.is_joint is joint and again == codec and hash(again) == hash(codec)
    before, after = (each.encode(["ab z"], ["xby"]) for each in (codec, again))
    assert rows_of(before.sources) == rows_of(after.sources) and rows_of(before.targets) == rows_of(after.targets)
    assert again.text(after.targets.row(0)) == "xby"


def test_one_file_is_written(tmp_path, separate):
    separate.save(tmp_path)
    assert os.listdir(tmp_path) == ["codec.json"]


def test_vocabularies_that_happen_to_be_equal_are_joint_before_and_after_saving(tmp_path):
    """Whether tables are tied depends on it: a model must be found again as it was made."""
    codec = fit(SOURCES, SOURCES, joint_vocabulary=False)
    codec.save(tmp_path)
    assert codec.is_joint and TranslationCodec.load(tmp_path).is_joint


def test_codecs_differ_where_either_side_does(separate):
    others = (
        fit([*SOURCES, "zzz"], joint_vocabulary=False),
        fit(targets=[*TARGETS, "zzz"], joint_vocabulary=False),
        fit(joint_vocabulary=False, lowercase=True),
        fit(),
    )
    assert separate.digest == fit(joint_vocabulary=False).digest
    assert separate not in others and len({separate.digest, *(other.digest for other in others)}) == 5


def test_damaged_and_missing_files(tmp_path, separate):
    for codec in (TranslationCodec, TextCodec, TaggingCodec):
        with pytest.raises(UserError, match=f"^{tmp_path} has no codec.json: put the run's own back, or delete"):
            codec.load(tmp_path)
    as_before(separate, tmp_path)
    (tmp_path / "source_tokenizer.json").unlink()
    with pytest.raises(UserError, match=f"Cannot read the tokenizer {tmp_path}/source_tokenizer.json: No such file"):
        TranslationCodec.load(tmp_path)
    separate.save(tmp_path)
    path = tmp_path / "codec.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(UserError, match=f"{tmp_path} has no readable codec.json: .* delete the run directory"):
        TranslationCodec.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match="no readable codec.json"):
        TranslationCodec.load(tmp_path)


def test_a_tokenizer_of_another_experiment_is_refused(tmp_path, separate):
    as_before(separate, tmp_path)
    fit_tokenizer(["a b"], kind="word", vocabulary_size=10).save(str(tmp_path / "target_tokenizer.json"))
    with pytest.raises(UserError, match=r"target_tokenizer.json has not \[START\] and \[END\] as its tokens 2 and 3"):
        TranslationCodec.load(tmp_path)
