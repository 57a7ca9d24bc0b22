r"""Speed of our layers beside every peer's: forward, gradient and training step, interleaved in one process.

    ./launch.sh benchmark                                            # the CPU suite: all shapes, cells, passes, peers
    ./launch.sh benchmark --shapes=small,wide --cells=lstm --passes=gradient --peers=flax_nnx,torch
    ./launch.sh benchmark --suite=ragged                             # IMDB's lengths, beside torch's packed sequences
    ./launch.sh benchmark --suite=end_to_end --dataset=imdb_reviews --data_dir=DIR
    ./launch.sh benchmark --report=benchmarks/cpu                    # JSON → tables in BENCHMARKS.md and a picture

Every peer gets the same weights and inputs; its outputs and all its gradients must agree with a float64 reference, to
1e-5 in float32, before it is timed. A row is written to <output>/<suite>.json as soon as it is measured, and the same
command continues an interrupted run (ensembles and end_to_end start anew): delete the file to measure again. Ratios are
a peer's time by ours, medians over blocks in which all were timed side by side; --dry_run shows what would be measured.
"""

import dataclasses
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarking import table
from experiments.benchmarking.equivalence import Checker, NotEquivalent
from experiments.benchmarking.peers import JAX_PEERS, PEERS
from experiments.benchmarking.peers.ours import LADDER
from experiments.benchmarking.problems import CELLS, PASSES, SUITES, Problem, Shape, Unsupported, make_problem
from experiments.benchmarking.results import Results, describe_machine, timing_columns
from experiments.benchmarking.timing import interleave
from rnn_jax.config import NOT_GIVEN, did_you_mean, knob, when
from rnn_jax.errors import UserError
from rnn_jax.training.app import run_script
from rnn_jax.training.run_config import Invocation

CPU_JAX_PEERS = tuple(peer for peer in JAX_PEERS if peer != "jax_cudnn")
SUITE_PEERS = {
    "cpu": ("ours", *CPU_JAX_PEERS, "torch"),
    "gpu": ("ours", "ours_cudnn", *JAX_PEERS, "torch", "ours_bf16", "torch_bf16", "torch_fp16"),
    "ragged": ("ours", *CPU_JAX_PEERS, "torch_packed", "torch_padded"),
    "ladder": ("ours", "naive", *LADDER),
}
OTHER_SUITES = ("ensembles", "end_to_end")

# TF32 keeps 10 bits of each factor.
TF32_TOLERANCE = 1e-2


MEASURES = when(report=NOT_GIVEN)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured, and how long."""

    suite: str = knob("cpu", "what is measured", choices=(*SUITES, *OTHER_SUITES), only_if=MEASURES)
    shapes: tuple[str, ...] = knob((), "only these shapes of the suite")
    cells: tuple[str, ...] = knob((), "only these cells", choices=tuple(CELLS))
    passes: tuple[str, ...] = knob((), "only these passes", choices=PASSES)
    peers: tuple[str, ...] = knob((), "only these implementations, beside ours", choices=tuple(PEERS))
    blocks: int = knob(30, "timed blocks of each implementation", minimum=1, only_if=MEASURES)
    min_block_seconds: float = knob(
        0.01, "calls are repeated until a block takes this long", minimum=0.0, only_if=MEASURES
    )
    matmul_precision: str = knob(
        "highest", "on a GPU: float32 in full, or TF32 for everybody", choices=("highest", "default")
    )
    output: str = knob("", "directory for <suite>.json (default: --workdir, runs/benchmark)", identity=False)
    report: str = knob("", "measure nothing: make tables and a picture of the JSON files in this directory")
    dataset: str = knob(
        "synthetic_reviews", "data of --suite=end_to_end", only_if=when(suite="end_to_end", report=NOT_GIVEN)
    )
    data_dir: str = knob("", "folder of prepared TFDS data (default: $TFDS_DATA_DIR)", identity=False)


def chosen_shapes(config: Config) -> list[Shape]:
    """The suite's shapes that the config asks for; UserError for a name that is none of them."""
    shapes = {shape.name: shape for shape in SUITES[config.suite]}
    for name in config.shapes:
        if name not in shapes:
            raise UserError(f"--shapes: the suite {config.suite} has {', '.join(shapes)}.{did_you_mean(name, shapes)}")
    return [shapes[name] for name in config.shapes or shapes]


def chosen_peers(config: Config) -> list[str]:
    """The implementations to measure, ours first: every ratio is to ours."""
    return list(dict.fromkeys(["ours", *(config.peers or SUITE_PEERS[config.suite])]))


def prepare_process(config: Config) -> None:
    """Settings that hold for all; warnings and errors where the environment would spoil the figures."""
    jax.config.update("jax_enable_compilation_cache", False)  # else compile_seconds of a second run say nothing
    on_gpu = jax.default_backend() == "gpu"
    if config.suite == "gpu" and not on_gpu:
        raise UserError("--suite=gpu needs a GPU; JAX runs on " + jax.default_backend())
    if on_gpu and config.matmul_precision == "highest":
        jax.config.update("jax_default_matmul_precision", "highest")
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        allowed = config.matmul_precision == "default"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    if sys.platform == "linux" and not {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} <= os.environ.keys():
        print("warning: malloc is not set up as ./launch.sh does it; page faults slow everybody down", file=sys.stderr)


def build(config: Config, results: Results, problem: Problem, names: list[str]) -> dict[str, tuple[Any, float]]:
    """Programs that proved to compute the problem, and their errors; the results say why others are not there."""
    checker, built = Checker(problem), {}
    key = {"shape": str(problem.shape), "cell": problem.cell}
    for name in names:
        try:
            program = PEERS[name](problem)
            if jax.default_backend() == "gpu" and config.matmul_precision == "default":
                program.tolerance = max(program.tolerance, TF32_TOLERANCE)
            error = checker.check(program)
            if "train" in (config.passes or PASSES):
                checker.check_training(program)
            built[name] = program, error
        except Unsupported as reason:
            results.note_not_run(str(reason), "cannot", **key, peer=name)
            if config.peers:  # asked for by name
                print(f"{problem.shape} {problem.cell}: no {name}: {reason}", file=sys.stderr)
        except NotEquivalent as reason:
            print(f"warning: {problem.shape} {problem.cell}: {reason}", file=sys.stderr, flush=True)
            results.note_not_run(str(reason), "wrong", **key, peer=name)
        except RuntimeError as error:  # jax's and torch's errors share only this class and the words
            if not any(words in str(error) for words in ("RESOURCE_EXHAUSTED", "out of memory")):
                raise
            results.note_not_run("out of memory", "cannot", **key, peer=name)
    return built


def measure(config: Config, results: Results, cell: str, shape: Shape) -> None:
    """The rows of one problem that are not there yet."""
    passes, names = config.passes or PASSES, chosen_peers(config)
    key = {"shape": str(shape), "cell": cell}
    missing = {name: {peer for peer in names if results.lacks(**key, **{"pass": name}, peer=peer)} for name in passes}
    wanted = [peer for peer in names if peer == "ours" or any(peer in peers for peers in missing.values())]
    if not any(missing.values()):
        return
    built = build(config, results, make_problem(cell, shape, ragged=config.suite == "ragged"), wanted)
    if "ours" not in built:
        return  # noted, and reported at the end
    for name in passes:
        if missing[name] & built.keys():
            # Ours takes part even if its row is there: ratios are between what ran in the same blocks.
            chosen = {peer: built[peer] for peer in built if peer in missing[name] | {"ours"}}
            measure_pass(config, results, key | {"pass": name}, chosen, missing[name])


def measure_pass(
    config: Config, results: Results, key: dict[str, str], built: dict[str, tuple[Any, float]], missing: set[str]
) -> None:
    """Times the programs side by side, and adds the missing rows."""
    name = key["pass"]
    for program, _ in built.values():
        program.compile(name)
    timings = interleave(
        {peer: call_of(program, name) for peer, (program, _) in built.items()},
        blocks=config.blocks,
        min_block_seconds=config.min_block_seconds,
    )
    rows = {
        peer: {
            **key,
            "peer": peer,
            **timing_columns(timings[peer], timings["ours"]),
            "compile_seconds": program.compile_seconds[name],
            "temp_bytes": program.temp_bytes[name],
            "max_relative_error": error,
        }
        for peer, (program, error) in built.items()
    }
    results.add(*(row for peer, row in rows.items() if peer in missing))
    print(table.line(rows), flush=True)


def call_of(program: Any, name: str) -> Callable[[], Any]:
    """The function that a pass times."""
    return program.train_step if name == "train" else getattr(program, name)


def measure_problems(config: Config, results: Results) -> None:
    """All problems of a suite; tables of what was measured.

    Raises:
      RuntimeError: some implementation computed something else, and was not timed.
    """
    for shape in chosen_shapes(config):
        for cell in config.cells or CELLS:
            measure(config, results, cell, shape)
            gc.collect()  # compiled programs are in cycles, and hold memory
    print(table.markdown(results.rows))
    if results.wrong:
        raise RuntimeError(f"{len(results.wrong)} times an implementation differs; {results.path}, not_run, says where")


def measure_others(config: Config, results: Results) -> None:
    """The suites that are not about single problems. They start anew: they know no rows that could be kept."""
    if config.suite == "ensembles":
        from experiments.benchmarking import ensembles as suite
    else:
        from experiments.benchmarking import end_to_end as suite
    results.rows.clear()
    for row in suite.rows(config):
        results.add(row)
        print(table.plain(row), flush=True)


def main(config: Config, invocation: Invocation) -> None:
    """Measures a suite, or reports what was measured."""
    if config.report:
        from experiments.benchmarking import report

        print(report.write(config.report))
        return
    on_problems = config.suite in SUITES
    if on_problems:
        chosen_shapes(config)  # a wrong name is an error now, and not after minutes
    if invocation.dry_run:
        for shape in chosen_shapes(config) if on_problems else ():
            for cell in config.cells or CELLS:
                print(f"{shape} {cell}: {', '.join(config.passes or PASSES)}; {', '.join(chosen_peers(config))}")
        return
    prepare_process(config)
    machine = describe_machine(matmul_precision=config.matmul_precision)
    results = Results(config.output or invocation.workdir, config.suite, machine)
    (measure_problems if on_problems else measure_others)(config, results)


if __name__ == "__main__":
    run_script(main, Config, "benchmark")
