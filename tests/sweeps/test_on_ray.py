"""Jobs on a real Ray cluster of two machines, one of which is lost."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NUM_JOBS, STEPS = 6, 15


def undisturbed(directory, steps):
    """What a small job writes when nothing happens to it."""
    directory.mkdir(parents=True)
    subprocess.run([sys.executable, HERE / "small_job.py", directory, str(steps), "0"], check=True, capture_output=True)
    return json.loads((directory / "result.json").read_text())


@pytest.mark.slow
def test_a_lost_machine_costs_nothing_but_time(tmp_path):
    workdir = tmp_path / "sweep"
    result = subprocess.run(
        [sys.executable, HERE / "ray_drill.py", workdir, str(NUM_JOBS), str(STEPS)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    *events, exit_code = told["one lost"]
    names = [f"run_{number}" for number in range(NUM_JOBS)]
    codes = dict.fromkeys(names[:-1], 0) | {names[-1]: 7}
    assert sorted(events) == [*(["end", name, codes[name]] for name in names), *(["start", name] for name in names)]
    for name in names:
        assert events.index(["start", name]) < events.index(["end", name, codes[name]])
    assert exit_code == 0
    assert told["lost"] == [[1, 1]]  # the process that the lost worker had started, and that it ended with it
    # Of two jobs for one machine the second one had not begun.
    assert told["stopped"] == [["start", "endless_0"], ["end", "endless_0", 143], 130]
    step = json.loads((workdir / "endless_0" / "checkpoint.json").read_text())["step"]
    assert f"saved at step {step}\n" in (workdir / "endless_0" / "run.log").read_text()
    assert told["left"] == ["endless_0", "endless_1", *names]

    nodes = {}
    for number in range(NUM_JOBS):
        directory = workdir / f"run_{number}"
        log = (directory / "run.log").read_text()
        nodes[number] = re.findall(r"^--- .* on .*, Ray node (\w+)$", log, re.MULTILINE)
        starts = [int(step) for step in re.findall(r"^starts at step (\d+)$", log, re.MULTILINE)]
        assert len(starts) == len(nodes[number]) and starts[0] == 0
        if len(starts) == 2:
            assert 0 < starts[1] == int(re.search(r"^saved at step (\d+)$", log, re.MULTILINE)[1])
        if number < NUM_JOBS - 1:
            expected = undisturbed(tmp_path / "alone" / f"run_{number}", STEPS)
            assert json.loads((directory / "result.json").read_text()) == expected
        else:
            assert json.loads((directory / ".outcome.json").read_text())["exit_code"] == 7
    assert sorted(map(len, nodes.values())) == [*[1] * (NUM_JOBS - 1), 2]
    (twice,) = (visited for visited in nodes.values() if len(visited) == 2)
    assert twice[0] != twice[1]
    assert len({node for visited in nodes.values() for node in visited}) == 2
