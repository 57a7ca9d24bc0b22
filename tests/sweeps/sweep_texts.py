"""Sweep files for tests."""

HEAD = '"""A title.\n\nWhat it teaches.\n"""\nEXPERIMENT = "tests.sweeps.fake_experiment"\nMETRIC = "test/error"\n'


def sweep_text(*rows, head=HEAD, **settings):
    """A sweep file with these rows."""
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    return "\n".join([head, *lines, "def rows():", *(f"    yield {row!r}" for row in rows), ""])


def write_sweep_file(folder, *rows, name="rates.py", **settings):
    """Its path."""
    path = folder / name
    path.write_text(sweep_text(*rows, **settings))
    return path
