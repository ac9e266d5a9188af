#!/usr/bin/env bash
# Run one config on a TPU slice of a GKE cluster that has JobSet: fills in jobset.yaml
# and applies it.
#   NAME=mbv2 IMAGE=REGISTRY/difnas_jax:1 CLAIM=filestore HOSTS=4 CHIPS=4 \
#       ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 CONFIG=mbv2 \
#       WORKDIR=/shared/runs/mbv2 launch/gke/run.sh [--dry-run] [FLAGS...]
# The volume of CLAIM is mounted at /shared; all paths are below it.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

need NAME "the name of the job"
need IMAGE "an image of Dockerfile with EXTRA=tpu"
need CLAIM "a persistent volume claim that many pods may write"
need HOSTS "the number of hosts of the slice"
need CHIPS "the number of TPU chips of each host"
need ACCELERATOR "the accelerator, for example tpu-v5-lite-podslice"
need TOPOLOGY "the topology of the slice, for example 4x4"
need CONFIG "a config in the image, for example mbv2"
need WORKDIR "a folder below /shared"
check_needs "$@"

if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi
# What pods write elsewhere is lost with them.
check_below /shared "$@"

# A YAML list in one line; within single quotes, only a single quote is special.
ARGS=""
for word in --distributed "--config=${CONFIG}" "--workdir=${WORKDIR}" \
  "--config.devices=$((HOSTS * CHIPS))" "$@"; do
  ARGS+="${ARGS:+, }'${word//\'/\'\'}'"
done
ARGS="[${ARGS}]"

jobset=$(<"$(dirname "$0")/jobset.yaml")
for name in NAME IMAGE CLAIM HOSTS CHIPS ACCELERATOR TOPOLOGY ARGS; do
  jobset="${jobset//"\${${name}}"/"${!name}"}"
done
printf "kubectl apply --filename=- <<'JOBSET'\n%s\nJOBSET\n" "${jobset}"
if [[ "${dry_run}" == false ]]; then
  kubectl apply --filename=- <<<"${jobset}"
fi
