#!/usr/bin/env bash
# Run one config on all hosts of a TPU slice: sends the last commit of this checkout to
# every host, installs it there, and starts the same command on each.
#   TPU=my-pod ZONE=us-central2-b DEVICES=32 CONFIG=configs/mbv2.py \
#       WORKDIR=/mnt/runs/mbv2 launch/tpu_pod.sh [--dry-run] [FLAGS...]
# WORKDIR and the data are on a file system that every host mounts under the same path.
# Started again, the same command continues the run.
set -euo pipefail

: "${TPU:?set TPU to the name of the TPU}"
: "${ZONE:?set ZONE to its zone, for example us-central2-b}"
: "${DEVICES:?set DEVICES to the number of devices of all hosts together}"
: "${CONFIG:?set CONFIG to a config file, for example configs/mbv2.py}"
: "${WORKDIR:?set WORKDIR to a folder that all hosts share}"

dry_run=false
if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

run() {
  printf '%q ' "$@"
  echo
  if [[ "${dry_run}" == false ]]; then "$@"; fi
}

# What each host runs, quoted for the shell there; memory is in huge pages
# unless the environment says otherwise.
printf -v main '%q ' env "GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}" \
  .venv/bin/python -m difnas_jax.main --distributed \
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "--config.devices=${DEVICES}" "$@"
# uv brings a Python that is new enough; that of the image may not be.
install="python3 -m pip install --quiet --user uv"
install+=" && mkdir -p difnas_jax && tar -xzf difnas_jax.tar.gz -C difnas_jax"
install+=" && cd difnas_jax && ~/.local/bin/uv venv --quiet --allow-existing -p 3.12"
install+=" && ~/.local/bin/uv pip install --quiet -e '.[tpu]'"

cd "$(dirname "$0")/.."
archive="${TMPDIR:-/tmp}/difnas_jax.tar.gz"
where=("--zone=${ZONE}" --worker=all)
run git archive --format=tar.gz "--output=${archive}" HEAD
run gcloud compute tpus tpu-vm scp "${archive}" "${TPU}:difnas_jax.tar.gz" "${where[@]}"
run gcloud compute tpus tpu-vm ssh "${TPU}" "${where[@]}" \
  "--command=${install} && ${main}"
