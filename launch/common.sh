# What the scripts of this folder share; they source it.
# shellcheck shell=bash

dry_run=false
needed=() missing=()

# need NAME "what it is": a variable without which the script cannot start.
need() {
  needed+=("$1: $2")
  [[ -n "${!1:-}" ]] || missing+=("$1: set $1 to $2")
}

refuse() {
  printf 'error: %s\n' "$@" >&2
  exit 2
}

# check_needs [FLAGS...]: help where it is asked for, else all that is missing at once,
# and a WORKDIR that cannot be a folder.
check_needs() {
  for word in "$@"; do
    if [[ "${word}" == --help || "${word}" == -h ]]; then
      # The comment at the top of the script.
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
      printf '\nVariables:\n'
      printf '  %s\n' "${needed[@]}"
      exit 0
    fi
  done
  [[ "${#missing[@]}" == 0 ]] || refuse "${missing[@]}"
  case "${WORKDIR}" in
    *:/*) refuse "WORKDIR: expected a folder that is mounted, got '${WORKDIR}'" ;;
    \~*) refuse "WORKDIR: expected a whole path, got '${WORKDIR}'" ;;
  esac
}

# check_below FOLDER [FLAGS...]: refuse WORKDIR, data or a supernet elsewhere.
check_below() {
  local folder="$1" path
  for path in "WORKDIR=${WORKDIR}" "${@:2}"; do
    case "${path}" in
      WORKDIR=* | --config.data.path=?* | --config.search.supernet=?*)
        [[ "${path#*=}/" == "${folder}"/* && "${path}/" != */../* ]] ||
          refuse "${path%%=*}: expected a path below ${folder}, got '${path#*=}'"
        ;;
    esac
  done
}

# quoted WORDS...: one line that a shell reads as these words.
quoted() {
  local word line=""
  for word in "$@"; do
    if [[ ! "${word}" =~ ^[A-Za-z0-9_./:=,+@%-]+$ ]]; then
      word="'${word//\'/\'\\\'\'}'"
    fi
    line+="${line:+ }${word}"
  done
  printf '%s\n' "${line}"
}

# run WORDS...: show a command and, unless this is a dry run, do it.
run() {
  quoted "$@"
  if [[ "${dry_run}" == false ]]; then "$@"; fi
}
