#!/usr/bin/env bash
# Run one config in several processes on this machine, each with its own virtual CPU
# devices, as a test of a run on several hosts.
#   CONFIG=digits WORKDIR=runs/local PROCESSES=2 DEVICES=2 \
#       launch/local.sh [--dry-run] [FLAGS...]
set -euo pipefail
source "$(dirname "$0")/common.sh"

need CONFIG "a config, for example digits or mine.py"
need WORKDIR "a folder"
need PROCESSES "the number of processes"
need DEVICES "the number of virtual CPU devices of each process"
check_needs "$@"

for count in "${PROCESSES}" "${DEVICES}"; do
  if [[ ! "${count}" =~ ^[1-9][0-9]*$ ]]; then
    refuse "PROCESSES and DEVICES: expected whole numbers from 1, got '${count}'"
  fi
done

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
program=("${PYTHON:-python3}" -m difnas_jax --distributed
  "--config=${CONFIG}" "--workdir=${WORKDIR}"
  "--config.devices=$((PROCESSES * DEVICES))" "$@")

pids=()
for ((process = 0; process < PROCESSES; process++)); do
  words=("${command[@]}" "JAX_PROCESS_ID=${process}" "${program[@]}")
  echo "$(quoted "${words[@]}") &"
  if [[ "${dry_run}" == false ]]; then
    "${words[@]}" &
    pids+=("$!")
  fi
done
echo wait

# Pass signals on to the processes; the exit code is the first one that is not 0.
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM
status=0
for pid in ${pids[@]+"${pids[@]}"}; do
  code=0
  wait "${pid}" || code=$?
  while kill -0 "${pid}" 2>/dev/null; do # a signal woke `wait`
    code=0
    wait "${pid}" || code=$?
  done
  if [[ "${status}" == 0 ]]; then status="${code}"; fi
done
exit "${status}"
