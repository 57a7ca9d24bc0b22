"""Cells of one's own. A run directory names them, and may be somebody else's: it never makes us import anything.

What the command line, a sweep file or the caller names is imported here, once; `make_stack` takes only those.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rnn_jax.cells import import_cell
from rnn_jax.config import fields_of, value_of
from rnn_jax.errors import UserError

OWN_CELLS: dict[str, Callable[..., Any]] = {}
"""Constructors by the names that configurations have for them, of cells that somebody has named in this process."""


def import_cells(names: Iterable[str]) -> None:
    """Imports those of the names that are of the form package.module:Class.

    Raises:
      UserError: one cannot be imported.
    """
    for name in names:
        if ":" in name:
            try:
                OWN_CELLS[name] = import_cell(name)
            except ValueError as error:
                raise UserError(str(error)) from error


@contextlib.contextmanager
def given_cells(cells: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Within the block the names mean these classes: another directory may have another class of the same name."""
    before = dict(OWN_CELLS)
    OWN_CELLS.update(cells)
    try:
        yield
    finally:
        OWN_CELLS.clear()
        OWN_CELLS.update(before)


def import_cells_of(config: Any) -> None:
    """As `import_cells` for all knobs of a configuration that name cells; only for one that the user wrote."""
    for name, field in fields_of(type(config)).items():
        if field.code:
            import_cells(value_of(config, name))


def require_imported(name: str) -> None:
    """UserError for a cell of one's own that nobody but a configuration has named."""
    if ":" in name and name not in OWN_CELLS:
        raise UserError(
            f"The cell {name} is a class of somebody's own, which a run directory alone does not make us import. If you"
            f" trust it, name it again: --cell={name}, beside --mode and --workdir; or load(directory, cell=TheClass)."
        )
