#!/usr/bin/env bash
# One entry to everything: environment, platform, SLURM, then the script. See usage() below.
#
# The only place that makes Python environments and sets XLA/JAX variables. Works from any directory; relative paths
# in flags are relative to where it is called. Variables that are already set win over the settings made here.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
uv_version=0.13.8 # fetched through pip where no uv is installed
# The system's certificates: behind the proxy of a company or a cluster, uv's own list is not enough.
export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
say() { printf '%s\n' "$*" >&2; }
fail() { say "$@"; exit 2; }

list_experiments() {
  local file name summary
  for file in "$root"/experiments/*.py; do
    name=$(basename -- "$file" .py)
    [[ $name == __init__ ]] && continue
    summary=$(awk 'sub(/^[rR]?"""/, "") { sub(/"""$/, ""); print; exit }' "$file") # the docstring's first line
    printf '  %-11s %s\n' "$name" "$summary"
  done
}

usage() {
  cat <<EOF
usage: ./launch.sh COMMAND [--platform=cpu|gpu|tpu] [flags passed on]

scripts in experiments/ (--helpshort lists the flags of one):
$(list_experiments)

commands:
  test        lint, types, all tests on the CPU, and some again on the lowest versions that pyproject.toml allows;
              flags go to pytest and leave these last out: ./launch.sh test -k scan
  lint        lint and types only
  lock        resolve requirements/*.txt from pyproject.toml again; --upgrade takes newer versions

The Python environment is made on first use under .venvs/. The platform is found (or JAX_PLATFORMS obeyed) if not given.
EOF
}

# ---- command line: COMMAND and --platform are ours, everything else is passed on --------------------------------------

command="" platform="" flags=()
parse_arguments() {
  while (($#)); do
    case $1 in
      --platform=*) platform=${1#*=} && check_platform ;;
      --platform) (($# > 1)) || fail "--platform needs a value: cpu, gpu or tpu"; platform=$2 && check_platform && shift ;;
      --) flags+=("$@"); break ;;
      *) if [[ -z $command ]]; then command=$1; else flags+=("$1"); fi ;;
    esac
    shift
  done
}

check_platform() {
  case $platform in cpu | gpu | tpu) ;; *) fail "--platform=$platform: choose cpu, gpu or tpu" ;; esac
}

check_command() {
  case $command in
    "" | help | -h | --help) usage; exit 0 ;;
    test | lint | lock) return ;;
    *[!A-Za-z0-9_]* | _*) ;; # no module name: unknown below
    *) [[ -f $root/experiments/$command.py ]] && return ;;
  esac
  say "'$command' is no experiment and no command."
  usage >&2
  exit 2
}

find_platform() {
  case ${JAX_PLATFORMS:-} in
    cpu*) platform=cpu ;;
    tpu*) platform=tpu ;;
    ?*) platform=gpu ;; # cuda, gpu, rocm
    "") platform=cpu
      # /dev/vfio alone is no sign of a TPU: hosts that pass other devices on have it too.
      if [[ -e /dev/accel0 || (-n ${TPU_NAME:-} && -d /dev/vfio) ]]; then platform=tpu; fi
      # Nor is the tool alone one of a GPU: it is there, and fails, in containers without a device.
      if nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then platform=gpu; fi ;;
  esac
}

# ---- environments: .venvs/NAME, complete or not there -----------------------------------------------------------------

find_python() {
  local python
  for python in ${RNN_JAX_PYTHON:+"$RNN_JAX_PYTHON"} python3 python3.13 python3.12 python3.11 python; do
    "$python" -c 'import sys; sys.exit(1) if sys.version_info < (3, 11) else print(sys.executable)' 2>/dev/null && return
  done
  say "No Python 3.11 or newer found (python3 here: $(python3 --version 2>&1 || true))."
  say "Install one, or name it: RNN_JAX_PYTHON=/path/to/python3.12 ./launch.sh …"
  return 2
}

put_in_place() { # PYTHON NEW PLACE: a rename that fails where PLACE is there already, which `mv` would move into
  "$1" -c 'import os, sys; os.rename(*sys.argv[1:])' "$2" "$3" 2>/dev/null || rm -rf -- "$2"
}

find_uv() { # PYTHON: prints a command that runs uv
  local home=$root/.venvs/uv-$uv_version new=$root/.venvs/uv-$uv_version.partial.$$
  if uv --version >/dev/null 2>&1; then
    echo uv
    return
  fi
  if [[ ! -x $home/bin/uv ]]; then
    mkdir -p "$root/.venvs"
    # Either pip or venv is enough. `--target` is allowed where the system forbids changes to its own Python.
    if "$1" -m pip --version >/dev/null 2>&1; then
      PIP_ROOT_USER_ACTION=ignore "$1" -m pip install --quiet --target "$new" "uv==$uv_version" >&2
    elif "$1" -m venv "$new" >&2; then
      "$new/bin/python" -m pip install --quiet "uv==$uv_version" >&2
    else
      say "$1 has neither pip nor venv (Debian: apt install python3-venv)."
    fi
    [[ -x $new/bin/uv ]] || { rm -rf -- "$new"; say "uv could not be installed, see above."; return 1; }
    put_in_place "$1" "$new" "$home"
  fi
  echo "$home/bin/uv"
}

partial="" # the environment being built
# make_environment NAME LOCK…: sets $python. Ready means that a copy of the very lock files lies inside; an environment
# is built beside its place and renamed last, so an interrupted set-up never looks ready.
make_environment() {
  local name=$1 env=$root/.venvs/$1 uv base started=$SECONDS
  shift
  python=$env/bin/python
  is_ready "$env" "$@" && return
  mkdir -p "$root/.venvs"
  # A second launch waits for the first. Without flock (macOS) both build and the first to finish is kept.
  exec 9>"$root/.venvs/$name.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    say "Another launch is setting up the environment '$name'; waiting for it …"
    flock 9 || true
    is_ready "$env" "$@" && { exec 9>&-; return; }
    started=$SECONDS
  fi
  command -v flock >/dev/null && rm -rf -- "$env".partial.* # left by a killed set-up
  base=$(find_python)
  case " $* " in
    *dev.txt* | *bench*) say "Setting up the environment '$name' (once; several gigabytes, a few minutes) …" ;;
    *) say "Setting up the environment '$name' (once, about a minute) …" ;;
  esac
  uv=$(find_uv "$base")
  partial=$env.partial.$$
  trap 'rm -rf -- "$partial"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  "$uv" venv --quiet --no-project --python "$base" "$partial"
  (cd "$root/requirements" && "$uv" pip sync --quiet --require-hashes --python "$partial/bin/python" "$@") ||
    { say "Setting up failed (uv's message is above). Nothing is left half-made: run the same command again."; exit 1; }
  (cd "$root/requirements" && cat "$@") >"$partial/lock.txt"
  rm -f -- "$env/lock.txt" # first, so that an interrupted removal doesn't look ready either
  rm -rf -- "$env"
  put_in_place "$base" "$partial" "$env"
  trap - EXIT INT TERM
  exec 9>&-
  is_ready "$env" "$@" || { say "$env could not be put in place."; exit 1; }
  say "… ready after $((SECONDS - started)) s."
}

is_ready() { # ENVIRONMENT LOCK…
  [[ -x $1/bin/python && -f $1/lock.txt ]] && (cd "$root/requirements" && cat "${@:2}") | cmp -s - "$1/lock.txt"
}

# ---- settings: a user's own value wins, and each says why it is here --------------------------------------------------

settings() {
  local cpu cache=${RNN_JAX_CACHE:-${XDG_CACHE_HOME:-${HOME:-$root}/.cache}/rnn_jax}

  # The repository is importable from anywhere; the caller's own directory comes last, for --cell=my_module:MyCell.
  export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}:$PWD
  # Without this `python -m` would look in the caller's directory first, where another `experiments` may lie.
  export PYTHONSAFEPATH=1

  # The platform by name: JAX then stops with an error where a missing driver would mean silent hours on the CPU.
  case $platform in
    cpu) export JAX_PLATFORMS=cpu ;;
    gpu) [[ ${JAX_PLATFORMS:-} == @(cuda|gpu|rocm)* ]] || export JAX_PLATFORMS=cuda,cpu ;; # cpu: for work on the host
    tpu) [[ ${JAX_PLATFORMS:-} == tpu* ]] || export JAX_PLATFORMS=tpu,cpu ;;
  esac

  # Compiled programs are kept: the second start of the same model compiles next to nothing (a train step on two CPU
  # cores: 2.8 s → 1.1 s). JAX files a program under a hash of its code, the compiler and the device, but not of what
  # this processor can do: hence a folder for each kind, where a home is shared. It may be deleted at any time.
  cpu=$({ grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || uname -mp; } 2>/dev/null | cksum)
  export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR-$cache/xla/${cpu%% *}}
  # From 0.3 s of compile time on: a run has a dozen small programs that JAX's own threshold of 1 s would leave out.
  export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=${JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS:-0.3}

  if [[ $platform == cpu ]]; then
    # Every step allocates its temporaries anew. Huge pages, and a malloc that keeps large blocks instead of giving
    # them back, take 84,000 page faults of an LSTM's train step down to 3,000: 22 % less CPU time (glibc only).
    export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
    export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-4294967296}
    export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8589934592}
  elif [[ $platform == gpu ]]; then
    # JAX would take three quarters of the memory at start: the runs of a sweep are small and share one GPU.
    export XLA_PYTHON_CLIENT_PREALLOCATE=${XLA_PYTHON_CLIENT_PREALLOCATE:-false}
  fi
}

# ---- SLURM: in an allocation of several tasks, start one copy a task --------------------------------------------------

# training/devices.py joins the copies with jax.distributed. Step numbers from 4294967290 on are SLURM's names for the
# batch script and the interactive shell, which are not yet inside srun. A sweep starts its runs itself.
needs_srun() {
  local tasks=${SLURM_NTASKS:-$((${SLURM_JOB_NUM_NODES:-1} * ${SLURM_NTASKS_PER_NODE:-1}))}
  [[ $command != sweep && -n ${SLURM_JOB_ID:-} && -z ${RNN_JAX_IN_SRUN:-} ]] && ((tasks > 1 && ${SLURM_STEP_ID:-4294967291} >= 4294967290))
}

# ---- the commands -----------------------------------------------------------------------------------------------------

environment() { # LOCK: the environment of a lock file, with the accelerator's where there is one
  case $platform in
    cpu) make_environment "$1" "$1.txt" ;;
    gpu) make_environment "$1-cuda" "$1.txt" cuda.txt ;;
    tpu) make_environment "$1-tpu" "$1.txt" tpu.txt ;;
  esac
}

run_script() {
  local srun=()
  case $command in
    sweep) environment sweep ;;
    benchmark) environment bench ;;
    *) environment run ;;
  esac
  settings
  if needs_srun; then
    export RNN_JAX_IN_SRUN=1
    srun=(srun --)
  fi
  exec ${srun[@]+"${srun[@]}"} "$python" -m "experiments.$command" ${flags[@]+"${flags[@]}"}
}

run_lint() {
  local status=0
  cd "$root"
  "$python" -m ruff check --quiet . || status=1
  "$python" -m ruff format --check --quiet . || { say "Not formatted: $("$python" -m ruff format --check . | head -n 5)"; status=1; }
  "$python" -m mypy || status=1
  return $status
}

run_test() {
  local status=0 lint
  cd "$root"
  run_lint & # mypy takes one core for most of a minute; the parts below, of few tests, leave one idle at their ends
  lint=$!
  # With flags, which pick tests, these alone run. The other parts come first, and say nothing if they pass, so that
  # pytest's closing line of the whole suite stays the last one.
  if ((${#flags[@]} == 0)) && [[ $platform == cpu ]]; then
    run_part "what users run: no checks of types, XLA's own flags, two devices" tests/as_users || status=$?
    run_lowest || status=$?
    # A file's tests stay together: what they share is made and compiled once. In order, so that short ones come last.
    flags=(--durations=10 --dist loadscope --no-loadscope-reorder)
  fi
  wait "$lint" || { status=1; say "Lint or types failed, see above. The tests run all the same:"; }
  "$python" -m pytest -q -n auto --dist worksteal ${flags[@]+"${flags[@]}"} || status=$?
  exit $status
}

# The lower bounds of pyproject.toml are true if the library works on them. One file or folder for each dependency that
# we ask much of, a minute in all; the rest of the suite asks the same of it, or needs what is not there (torch).
lowest_tests=(
  tests/test_packaging.py # what an installation holds
  tests/scanning/test_scan.py tests/as_users/test_arguments.py tests/as_users/test_meshes.py # jax, numpy
  tests/test_modules.py # flax, optax
  tests/training/test_checkpoint.py # orbax
  tests/training/test_progress_and_plots.py::test_pictures_are_drawn # matplotlib; others there time something
  tests/data/test_classification.py # tensorflow-datasets
  tests/data/series/test_tables.py # pyarrow
)

run_lowest() {
  local python=$python # of this function from here on: make_environment sets it
  if ! "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))' >/dev/null; then
    say "Not tried on the lowest versions that pyproject.toml allows: there are no wheels of them for this new a Python."
    return
  fi
  make_environment lowest lowest.txt
  # How users' programs are compiled was tried above; quickly will do here.
  local -x RNN_JAX_TESTS_QUICKLY=1
  run_part "the lowest versions that pyproject.toml allows (requirements/lowest.txt)" "${lowest_tests[@]}"
}

run_part() { # WHAT TESTS…: shown only if it fails, and never on standard output
  local what=$1 output
  say "A part of the tests on $what …"
  output=$(RNN_JAX_TESTS_AS_USERS=1 "$python" -m pytest -q -n auto --dist worksteal "${@:2}" 2>&1) && { say "… they pass."; return; }
  say "$output"
  say "Tests failed on $what, see above."
  return 1
}

# All extras are resolved together once (constraints.txt) and every lock file is a cut of that, so that any of them can
# go into one environment. One version for every Python ("fewest"), existing pins kept unless --upgrade is given.
run_lock() {
  local options=(--quiet --universal --python-version 3.11 --fork-strategy fewest) base uv
  base=$(find_python)
  uv=$(find_uv "$base")
  export UV_CUSTOM_COMPILE_COMMAND="./launch.sh lock"
  cd "$root/requirements"
  "$uv" pip compile "${options[@]}" --no-annotate --all-extras ${flags[@]+"${flags[@]}"} ../pyproject.toml -o constraints.txt
  cut_lock run --extra=experiments --extra=tensorboard
  cut_lock sweep --extra=sweep --extra=tensorboard
  cut_lock bench --extra=bench
  cut_lock dev --extra=dev
  cut_lock cuda --extra=experiments --extra=cuda
  cut_lock tpu --extra=experiments --extra=tpu
  # Not a cut of it but the other end of what pyproject.toml allows: its lower bounds themselves.
  compile_lock lowest --resolution=lowest-direct --extra=test --extra=build
}

cut_lock() { # LOCK FLAG…
  compile_lock "$@" -c constraints.txt
}

compile_lock() { # LOCK FLAG…
  "$uv" pip compile "${options[@]}" --no-annotate --generate-hashes "${@:2}" ../pyproject.toml -o "$1.txt"
  say "requirements/$1.txt: $(grep -c == "$1.txt") packages"
}

parse_arguments "$@"
check_command
if [[ $command == lock ]]; then
  run_lock
elif [[ $command == test || $command == lint ]]; then
  platform=${platform:-cpu} # --platform=gpu to run the tests there; never found, so that they mean the same everywhere
  environment dev
  settings
  "run_$command"
else
  [[ -n $platform ]] || find_platform
  run_script
fi
