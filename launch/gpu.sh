#!/usr/bin/env bash
# Run one config on all GPUs of this host.
#   CONFIG=configs/mbv2.py WORKDIR=/data/runs/mbv2 GPUS=8 \
#       launch/gpu.sh [--dry-run] [FLAGS...]
# Started again, the same command continues the run.
set -euo pipefail

: "${CONFIG:?set CONFIG to a config file, for example configs/mbv2.py}"
: "${WORKDIR:?set WORKDIR to a folder that outlives this machine}"
: "${GPUS:?set GPUS to the number of GPUs that must be there}"

dry_run=false
if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

# Memory of the host in huge pages, unless the environment says otherwise.
command=(env JAX_PLATFORMS=cuda "GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}"
  "${PYTHON:-python3}" -m difnas_jax.main
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "--config.devices=${GPUS}" "$@")
echo "${command[*]}"
if [[ "${dry_run}" == false ]]; then
  exec "${command[@]}"
fi
