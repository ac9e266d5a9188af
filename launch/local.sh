#!/usr/bin/env bash
# Run one config in several processes on this machine, each with its own virtual CPU
# devices, as a test of a run on several hosts.
#   CONFIG=configs/digits.py WORKDIR=runs/local PROCESSES=2 DEVICES=2 \
#       launch/local.sh [--dry-run] [FLAGS...]
set -euo pipefail

: "${CONFIG:?set CONFIG to a config file, for example configs/digits.py}"
: "${WORKDIR:?set WORKDIR to a folder}"
: "${PROCESSES:?set PROCESSES to the number of processes}"
: "${DEVICES:?set DEVICES to the number of virtual CPU devices of each process}"

for count in "${PROCESSES}" "${DEVICES}"; do
  if [[ ! "${count}" =~ ^[1-9][0-9]*$ ]]; then
    echo "PROCESSES and DEVICES: expected whole numbers from 1, got '${count}'" >&2
    exit 2
  fi
done

dry_run=false
if [[ "${1:-}" == "--dry-run" ]]; then
  dry_run=true
  shift
fi

# A random port, unless PORT is set.
port="${PORT:-$((20000 + RANDOM % 12000))}"
# Memory is kept, in huge pages, unless the environment says otherwise.
command=(env JAX_PLATFORMS=cpu "GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1}"
  "XLA_FLAGS=${XLA_FLAGS:-} --xla_force_host_platform_device_count=${DEVICES}"
  "JAX_COORDINATOR_ADDRESS=127.0.0.1:${port}" "JAX_NUM_PROCESSES=${PROCESSES}")
run=("${PYTHON:-python3}" -m difnas_jax.main --distributed
  "--config=${CONFIG}" "--workdir=${WORKDIR}"
  "--config.devices=$((PROCESSES * DEVICES))" "$@")

pids=()
for ((process = 0; process < PROCESSES; process++)); do
  echo "${command[*]} JAX_PROCESS_ID=${process} ${run[*]}"
  if [[ "${dry_run}" == false ]]; then
    "${command[@]}" "JAX_PROCESS_ID=${process}" "${run[@]}" &
    pids+=("$!")
  fi
done

# Pass signals on to the processes; the exit code is the first one that is not 0.
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM
status=0
for pid in "${pids[@]}"; do
  code=0
  wait "${pid}" || code=$?
  while kill -0 "${pid}" 2>/dev/null; do # a signal woke `wait`
    code=0
    wait "${pid}" || code=$?
  done
  if [[ "${status}" == 0 ]]; then status="${code}"; fi
done
exit "${status}"
