#!/usr/bin/env bash
# Install what is missing, then check everything: ruff, pyright, pytest.
#
#     bash scripts/test.sh [PYTEST ARGUMENTS...]        such as: bash scripts/test.sh tests/stage1_edit
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
# The diffusion editors are checked against diffusers itself.
bash scripts/install.sh diffusion
export PATH="$PWD/.venv/bin:$PATH"
# Two threads to a process are many times slower than one when the machine's few cores are busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# pyright would ask the network whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS=1

summary=
status=0
check() {
    local name=$1 result=passed
    shift
    echo "== $name"
    SECONDS=0
    "$@" || { result=FAILED status=1; }
    summary+=$(printf '%-8s %s (%d s)' "$name" "$result" "$SECONDS")$'\n'
}

check ruff ruff check .
check pyright pyright
check pytest python -m pytest "$@"
printf '== summary\n%s' "$summary"
exit "$status"
