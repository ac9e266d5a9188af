#!/usr/bin/env bash
# Run one config on all GPUs of this host.
#   CONFIG=mbv2 WORKDIR=/data/runs/mbv2 GPUS=8 launch/gpu.sh [--dry-run] [FLAGS...]
# Started again, the same command continues the run.
set -euo pipefail
source "$(dirname "$0")/common.sh"

need CONFIG "a config, for example mbv2 or mine.py"
need WORKDIR "a folder that outlives this machine"
need GPUS "the number of GPUs that must be there"
check_needs "$@"

if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

# Memory of the host in huge pages, unless the environment says otherwise.
command=(env JAX_PLATFORMS=cuda
  "GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}"
  "${PYTHON:-python3}" -m difnas_jax
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "--config.devices=${GPUS}" "$@")
quoted "${command[@]}"
if [[ "${dry_run}" == false ]]; then
  exec "${command[@]}"
fi
