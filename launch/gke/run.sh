#!/usr/bin/env bash
# Run one config on a TPU slice of a GKE cluster that has JobSet: fills in jobset.yaml
# and applies it.
#   NAME=mbv2 IMAGE=REGISTRY/difnas_jax:1 CLAIM=filestore HOSTS=4 CHIPS=4 \
#       ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 CONFIG=configs/mbv2.py \
#       WORKDIR=/shared/runs/mbv2 launch/gke/run.sh [--dry-run] [FLAGS...]
# The volume of CLAIM is mounted at /shared.
set -euo pipefail

: "${NAME:?set NAME to the name of the job}"
: "${IMAGE:?set IMAGE to an image built from launch/gke/Dockerfile}"
: "${CLAIM:?set CLAIM to a persistent volume claim that many pods may write}"
: "${HOSTS:?set HOSTS to the number of hosts of the slice}"
: "${CHIPS:?set CHIPS to the number of TPU chips of each host}"
: "${ACCELERATOR:?set ACCELERATOR, for example tpu-v5-lite-podslice}"
: "${TOPOLOGY:?set TOPOLOGY of the slice, for example 4x4}"
: "${CONFIG:?set CONFIG to a config file in the image, for example configs/mbv2.py}"
: "${WORKDIR:?set WORKDIR to a folder below /shared}"

dry_run=false
if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

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
echo "${jobset}"
echo "# kubectl apply --filename=-"
if [[ "${dry_run}" == false ]]; then
  kubectl apply --filename=- <<<"${jobset}"
fi
