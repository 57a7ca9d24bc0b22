"""small_job.py DIRECTORY STEPS SECONDS [EXIT_CODE]: stands for a training run that saves every step and resumes.

Each step takes so many seconds. With an exit code it fails in the middle. Needs the standard library only.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def replace(path: Path, content: object) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)


def stop(number: int, frame: object) -> None:
    print(f"saved at step {state['step']}", flush=True)
    sys.exit(128 + number)


if __name__ == "__main__":
    directory, steps, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    exit_code = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    checkpoint = directory / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "value": 1}
    signal.signal(signal.SIGTERM, stop)
    print(f"compiles into {os.environ.get('JAX_COMPILATION_CACHE_DIR')}")
    print(f"starts at step {state['step']}", flush=True)
    while state["step"] < steps:
        time.sleep(seconds)
        state = {"step": state["step"] + 1, "value": (state["value"] * 48271 + len(directory.name)) % 2147483647}
        replace(checkpoint, state)
        if exit_code and state["step"] == steps // 2:
            print("something is wrong", flush=True)
            sys.exit(exit_code)
    replace(directory / "result.json", {"value": state["value"], "steps": steps})
