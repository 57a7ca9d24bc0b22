"""Text pairs to train on, to validate with and to test on: any TFDS dataset with two texts a row, or users' files."""

import fnmatch
import re
from typing import NamedTuple

from rnn_jax.data.datasets import split_names
from rnn_jax.data.paired import TextPairs, read_pairs_file, read_pairs_split
from rnn_jax.data.parts import is_file, read_parts
from rnn_jax.data.translation_config import PairsConfig
from rnn_jax.errors import UserError


class TranslationData(NamedTuple):
    """The parts of a dataset. tests: by name, "test" the first, if there is any. `notes` are worth telling the user."""

    train: TextPairs
    validation: TextPairs
    tests: dict[str, TextPairs]
    notes: tuple[str, ...] = ()

    @property
    def test(self) -> TextPairs | None:
        """The test part, where there is one."""
        return self.tests.get("test")


def load_translation(config: PairsConfig, *, seed: int = 0) -> TranslationData:
    """Reads all parts; training pairs with an empty side are left out. `seed` draws a validation part cut from train.

    Raises:
      UserError: fields of parallel files, which have none; as `read_parts`, `read_pairs_file` and `read_pairs_split`.
    """
    if "," in config.train_file and (config.source_field or config.target_field):
        raise UserError(
            f"--train_file={config.train_file}: the first of two parallel files is the source, the second the target;"
            " leave --source_field and --target_field out."
        )
    parts = read_parts(config, lambda path: read_file(config, path), lambda split: read_part(config, split))
    train, validation = parts.train_and_validation(config.validation_fraction, seed)
    whole = [row for row, pair in enumerate(zip(train.sources, train.targets, strict=True)) if all(pair)]
    notes = list(parts.notes)
    if not whole:
        raise UserError(f"{train.name}: every pair has an empty source or target, so there is nothing to train on.")
    if empty := train.num_examples - len(whole):
        notes.append(f"{train.name}: {empty:,} pairs with an empty source or target are left out.")
        train = train.take(whole)
    tests = {"test": parts.test} if parts.test else {}
    for name in _further_tests(config):
        part = read_part(config, name)
        if part.num_examples:
            tests[name] = part
        else:
            notes.append(f"The targets of {part.name} are hidden: it is not scored.")
    return TranslationData(train, validation, tests, tuple(notes))


def read_part(config: PairsConfig, name: str) -> TextPairs:
    """One split of the config's dataset, or one file (two, with a comma between)."""
    if is_file(name):
        return read_file(config, name)
    return read_pairs_split(config.dataset, name, config.data_dir, config.source_field, config.target_field)


def read_file(config: PairsConfig, path: str) -> TextPairs:
    """One table, or two parallel files with a comma between."""
    # A table without a header has no fields: beside a dataset, the flags for them are about the dataset.
    return read_pairs_file(path, *((config.source_field, config.target_field) if config.train_file else ()))


def _further_tests(config: PairsConfig) -> list[str]:
    if config.train_file:
        return []
    chosen = f"{config.train_split} {config.validation_split} {config.test_split}"  # slices and sums of splits, too
    used = {"train", "validation", "test", *re.findall(r"[\w.-]+", chosen)}
    names = [name for name in split_names(config.dataset, config.data_dir) if name not in used]
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in config.further_tests)]
