#!/usr/bin/env bash
# Run one config on several nodes under SLURM, one process for each GPU.
#   NODES=2 GPUS=4 TIME=12:00:00 CONFIG=mbv2 WORKDIR=/shared/runs/mbv2 \
#       launch/slurm.sh [--dry-run] [FLAGS...]
# On a login node this submits itself; inside a job or an allocation it runs. Account,
# partition and the like come from SBATCH_ACCOUNT, SBATCH_PARTITION, ...; WORKDIR and
# CONFIG are on a file system that all nodes share.
set -euo pipefail
# A job runs a copy of this script, which is elsewhere.
export LAUNCH="${LAUNCH:-$(cd "$(dirname "$0")" && pwd)}"
source "${LAUNCH}/common.sh"

need NODES "the number of nodes"
need GPUS "the number of GPUs of each node"
need TIME "the time limit of a session, for example 12:00:00"
need CONFIG "a config, for example mbv2 or mine.py"
need WORKDIR "a folder that all nodes share"
check_needs "$@"

if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

# Memory of the hosts in huge pages, unless the environment says otherwise.
export GLIBC_TUNABLES="${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}"

if [[ -z "${SLURM_JOB_ID:-}" ]]; then
  # Two minutes before the time is over, every process gets SIGUSR1, saves and exits.
  run env "LAUNCH=${LAUNCH}" "NODES=${NODES}" "GPUS=${GPUS}" "TIME=${TIME}" \
    "CONFIG=${CONFIG}" "WORKDIR=${WORKDIR}" \
    sbatch --job-name=difnas "--nodes=${NODES}" "--ntasks-per-node=${GPUS}" \
    "--gres=gpu:${GPUS}" "--time=${TIME}" --requeue --signal=USR1@120 \
    --open-mode=append --output=difnas-%j.log "${LAUNCH}/slurm.sh" "$@"
  exit
fi

# JAX gives each process of a node the GPU with its local number, so every process must
# see all GPUs of the node.
# A process that exits early must not end the others, which are still saving.
status=0
run srun --kill-on-bad-exit=0 "${PYTHON:-python3}" -m difnas_jax --distributed \
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "--config.devices=$((NODES * GPUS))" \
  "$@" || status=$?
# 75: the state is saved, and the same command continues the run.
if [[ "${status}" == 75 ]]; then
  run scontrol requeue "${SLURM_JOB_ID}"
fi
exit "${status}"
