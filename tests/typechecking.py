"""The type checker that conftest.py puts around every function of rnn_jax."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is welcome where a float is, as for mypy
