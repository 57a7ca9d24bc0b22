"""What comes along from the run that --init_from names is the default of this one: read before anything heavy is."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.config import NETWORK, VOCABULARY, Config, config_to_dict, fields_of, with_overrides
from rnn_jax.files import read_json
from rnn_jax.training.run_files import document_of, has_trained, stored_config


def with_inherited(config: Config, experiment: str, given: Collection[str], workdir: Path) -> Config:
    """The configuration whose knobs `inherited`, but for those given, are as in the run that --init_from names.

    A run that has begun in the workdir has them itself, whatever has become of the other one. Where there is no such
    run, nothing changes: training says so. Of a run of another experiment, vocabulary knobs are left: they mean others.
    """
    place = config_to_dict(config).get("init_from")
    if not place:
        return config
    kinds: tuple[str, ...] = (NETWORK, VOCABULARY)
    values = _as_begun(type(config), experiment, workdir, place)
    if values is None:
        directory = Path(place).expanduser().absolute()
        if not (directory / "config.json").is_file():
            return config
        document = document_of(directory)
        if document["experiment"] != experiment:
            kinds = (NETWORK,)
        values = document["config"] | _solved_width(directory, document["config"])
    fields = fields_of(type(config))
    along = [name for name in values if name in fields and fields[name].inherited in kinds and name not in given]
    return with_overrides(config, {name: values[name] for name in along})


def _as_begun(config_class: type, experiment: str, workdir: Path, place: str) -> dict[str, Any] | None:
    """The values of a run, or of one of several seeds, that began here from the same place."""
    for directory in (workdir, *sorted(workdir.glob("seed_*"))):
        if (directory / "config.json").is_file() and has_trained(directory):
            stored = config_to_dict(stored_config(directory, experiment, config_class))
            if stored["init_from"] == place:
                return stored
    return None


def _solved_width(directory: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The width that --num_params came to, which a finished run notes."""
    file = directory / "result.json"
    return {"hidden_size": read_json(file)["hidden_size"]} if values.get("num_params") and file.is_file() else {}
