"""Flags that would do nothing beside others: each is refused where it does not count, and taken where it does."""

import importlib

import pytest
from absl import flags

from rnn_jax.config import define_flags, given_flags, refuse_idle
from rnn_jax.config.flags import config_from_flags
from rnn_jax.errors import UserError
from rnn_jax.training.run_config import Invocation

CASES = [  # experiment, the flag, beside which it does nothing, beside which it counts
    ("sentiment", "--num_epochs=3", "--num_steps=1", "--num_steps=0"),
    ("sentiment", "--data_dir=/nope", "--train_file=a.csv", "--dataset=trec"),
    ("sentiment", "--data_dir=/nope", "--mode=predict", "--mode=eval"),
    ("seq2seq", "--data_dir=/nope", "--mode=export", "--mode=eval"),
    ("sentiment", "--log_every_steps=5", "--mode=eval", "--num_steps=3"),
    ("sentiment", "--checkpoint_every_steps=5", "--mode=predict", "--mode=train"),
    ("sentiment", "--checkpoint_every_seconds=5", "--mode=predict", "--mode=train"),
    ("tagging", "--divergence_factor=5", "--mode=export", "--mode=train"),
    ("tagging", "--tensorboard", "--mode=eval", "--mode=train"),
    ("tagging", "--columns=0,1", "--dataset=conll2003", "--train_file=a.conll"),
    ("tagging", "--columns=0,1", "--mode=eval", "--test_file=a.conll"),
    ("tagging", "--min_count=2", "--init_from=runs/a", "--num_steps=3"),
    ("tagging", "--vocabulary_size=200", "--init_from=runs/a", "--num_steps=3"),
    ("tagging", "--output_format=conll", "--mode=eval", "--mode=predict"),
    ("seq2seq", "--beam_size=3", "--mode=export", "--mode=eval"),
    ("seq2seq", "--decoding=sample", "--mode=export", "--mode=predict"),
    ("seq2seq", "--decoding_batch_size=10", "--mode=export", "--mode=train"),
    ("seq2seq", "--max_source_tokens=10", "--mode=train", "--mode=export"),
    ("language_model", "--space_mark=_", "--tokenizer=word", "--tokenizer=byte"),
    ("language_model", "--min_count=2", "--tokenizer=bpe", "--tokenizer=word"),
    ("language_model", "--pretokenized=no", "--tokenizer=char", "--tokenizer=word"),
    ("language_model", "--vocabulary_size=99", "--tokenizer=byte", "--tokenizer=char"),
    ("language_model", "--num_sampled=9", "--head=adaptive", "--head=softmax"),
    ("language_model", "--tie_output=false", "--head=adaptive", "--head=mixture"),
    ("language_model", "--score_batch_size=9", "--mode=predict", "--mode=eval"),
    ("language_model", "--num_texts=2", "--mode=eval", "--mode=predict"),
    ("language_model", "--stop=x", "--mode=train", "--mode=predict"),
    ("language_model", "--dynamic_evaluation", "--mode=train", "--mode=eval"),
]


def check(experiment, *arguments):
    values, classes = flags.FlagValues(), (importlib.import_module(f"experiments.{experiment}").Config, Invocation)
    for defined in classes:
        define_flags(defined, values)
    values(["program", *arguments])
    names = [name for defined in classes for name in given_flags(defined, values)]
    refuse_idle(names, *(config_from_flags(defined, values) for defined in classes))


@pytest.mark.parametrize(("experiment", "flag", "idle", "counts"), CASES)
def test_a_flag_counts_or_is_refused(experiment, flag, idle, counts):
    check(experiment, flag, counts)
    with pytest.raises(UserError, match=rf"do nothing: {flag.partition('=')[0]} needs"):
        check(experiment, flag, idle)


def test_several_answers_may_be_asked_for_as_json_only():
    common = ("--mode=predict", "--decoder=crf", "--num_best=2")
    check("tagging", *common, "--output_format=json")
    with pytest.raises(UserError, match="--output_format needs .*--num_best=1, or .*--output_format=json"):
        check("tagging", *common, "--output_format=conll")
