#!/usr/bin/env bash
# Run one config on all hosts of a TPU slice: sends the last commit of this checkout to
# every host, installs it there, and starts the same command on each. It needs git, and
# does not work from an installed package.
#   TPU=my-pod ZONE=us-central2-b DEVICES=32 CONFIG=mbv2 \
#       WORKDIR=/mnt/runs/mbv2 launch/tpu_pod.sh [--dry-run] [FLAGS...]
# WORKDIR and the data are on a file system that every host mounts under the same path.
# Started again, the same command continues the run.
set -euo pipefail
source "$(dirname "$0")/common.sh"

need TPU "the name of the TPU"
need ZONE "its zone, for example us-central2-b"
need DEVICES "the number of devices of all hosts together"
need CONFIG "a config, for example mbv2"
need WORKDIR "a folder that all hosts mount"
check_needs "$@"
# The home of a host is its own, and there the program starts.
[[ "${WORKDIR}" == /* ]] ||
  refuse "WORKDIR: expected a whole path that all hosts mount, got '${WORKDIR}'"

if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

# What each host runs, quoted for the shell there; memory is in huge pages
# unless the environment says otherwise.
main="$(quoted env "GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}" \
  .venv/bin/python -m difnas_jax --distributed \
  "--config=${CONFIG}" "--workdir=${WORKDIR}" "--config.devices=${DEVICES}" "$@")"
# uv brings a Python that is new enough; that of the image may not be.
install="python3 -m pip install --quiet --user uv"
install+=" && mkdir -p difnas_jax && tar -xzf difnas_jax.tar.gz -C difnas_jax"
install+=" && cd difnas_jax && ~/.local/bin/uv venv --quiet --allow-existing -p 3.12"
install+=" && ~/.local/bin/uv pip install --quiet -e '.[tpu]'"

cd "$(dirname "$0")/.."
[[ -e .git ]] ||
  refuse "launch/tpu_pod.sh: expected to be in a git checkout, whose last commit it sends, got ${PWD}; start it in a clone of the repository"
archive="${TMPDIR:-/tmp}/difnas_jax.tar.gz"
where=("--zone=${ZONE}" --worker=all)
run git archive --format=tar.gz "--output=${archive}" HEAD
run gcloud compute tpus tpu-vm scp "${archive}" "${TPU}:difnas_jax.tar.gz" "${where[@]}"
run gcloud compute tpus tpu-vm ssh "${TPU}" "${where[@]}" \
  "--command=${install} && ${main}"
