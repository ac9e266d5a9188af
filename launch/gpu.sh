#!/usr/bin/env bash
# Run one config on this host: CPU, or all its GPUs or TPU cores.
#   CONFIG=configs/mbv2.py WORKDIR=/data/runs/mbv2 launch/run.sh [--dry-run] [FLAGS...]
# The same command again continues the run.
set -euo pipefail

: "${CONFIG:?set CONFIG to a config file, for example configs/mbv2.py}"
: "${WORKDIR:?set WORKDIR to a folder that outlives this machine}"

dry_run=false
if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

command=("${PYTHON:-python3}" -m difnas_jax.main
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "$@")
echo "${command[*]}"
if [[ "${dry_run}" == false ]]; then
  exec "${command[@]}"
fi
