# ./dev doctor: what this machine has of what Daybreak wants, one line a thing: ok, missing (build or tests need it) or optional (all but
# what the line names works without it). Sourced by ./dev, whose lists of packages it reads; in bash, because a bare machine has no
# Python yet. `DOCTOR_ROOT` stands before /proc, /sys and /dev, for tests.

doctor_missing=0

row() { # row LINE STATE WHAT
  printf '%-14s %-8s %s\n' "$1" "$2" "$3"
  [ "$2" != missing ] || doctor_missing=1
}

doctor_packages() { # doctor_packages LINE STATE-WITHOUT WHY PACKAGE...
  local line=$1 without=$2 why=$3 missing
  shift 3
  if ! command -v dpkg-query >/dev/null; then
    row "$line" optional "not Debian: $why needs, under their own names: $*"
    return
  fi
  missing=$(missing_packages "$@")
  if [ -z "$missing" ]; then
    row "$line" ok "$# packages, for $why"
  else
    row "$line" "$without" "for $why; as root, ./dev installs them, else: apt-get install --no-install-recommends ${missing% }"
  fi
}

doctor_python() {
  local found
  if found=$(find_python 2>/dev/null); then
    row python ok "$("$found" --version 2>&1), $found"
  else
    row python missing "3.11 or later with venv, headers and the GIL: apt-get install python3-venv python3-dev"
  fi
  if $python -c '' 2>/dev/null && [ -f .venv/.daybreak ]; then
    row venv ok ".venv with $($python --version)"
  else
    row venv missing "./dev setup makes it; after a failed download, ./dev setup again"
  fi
}

doctor_program() { # doctor_program LINE WHAT-TO-DO PROGRAM...
  local line=$1 advice=$2 program
  shift 2
  for program in "$@"; do
    command -v "$program" >/dev/null && continue
    row "$line" missing "$program: $advice"
    return
  done
  row "$line" ok "$(command -v "$1")"
}

doctor_machine() {
  local root=${DOCTOR_ROOT:-} cores memory_mb free_mb
  cores=$(nproc)
  memory_mb=$(awk '/^MemAvailable/ {print int($2 / 1024)}' "$root/proc/meminfo")
  if [ "$cores" -lt 2 ]; then
    row cores optional "$cores: the driver and a worker take turns; figures are for two and more"
  else
    row cores ok "$cores"
  fi
  if [ "$memory_mb" -lt $((1024 * (cores + 1))) ]; then
    row memory missing "$memory_mb MB free: a compiler takes up to 1 GB, and $((cores + 2)) run at once: end other programs, or add swap"
  else
    row memory ok "$memory_mb MB free"
  fi
  free_mb=$(df -Pm . | awk 'NR == 2 {print $4}')
  if [ "$free_mb" -lt 3000 ]; then
    row disk missing "$free_mb MB free here: .venv, build and the compiler's cache take 3 GB"
  else
    row disk ok "$free_mb MB free here"
  fi
  free_mb=$(df -Pm "$root/dev/shm" 2>/dev/null | awk 'NR == 2 {print $4}' || true)
  if [ "${free_mb:-0}" -lt 512 ]; then
    row shm optional "/dev/shm has ${free_mb:-0} MB free: enough for us (memfd), not for chromium: mount -o remount,size=1G /dev/shm"
  else
    row shm ok "/dev/shm has $free_mb MB free"
  fi
  if [ "$(id -u)" = 0 ] && [ -e "$root/sys/kernel/mm/transparent_hugepage/shmem_enabled" ]; then
    row huge-pages ok "large objects in pages of 2 MB, by a mount of the runtime's own"
  else
    row huge-pages optional "large objects in pages of 4 kB: as root (CAP_SYS_ADMIN) and with transparent huge pages they take 2 MB"
  fi
  if unshare --user --map-root-user true 2>/dev/null || { [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; }; then
    row namespaces ok "the wheel's tests run in a root of their own"
  else
    row namespaces optional "tests of the wheel are skipped: sysctl kernel.unprivileged_userns_clone=1, or run as root"
  fi
}

doctor() {
  printf '%-14s %-8s %s\n' line state 'what, and what to do'
  doctor_packages packages missing "build and tests" "${APT_PACKAGES[@]}"
  doctor_python
  doctor_program git "apt-get install git; without it runs do not keep the code that made them" git
  doctor_program node "for the page's tests and lint; apt-get install ${APT_NODE[*]}" node npm
  doctor_program chromium "for the page's tests; apt-get install ${APT_BROWSER[*]}" chromium
  doctor_packages lint optional "./dev lint and ./dev fmt" "${APT_LINT[@]}"
  doctor_packages clang optional "./dev test --sanitize, --fuzz" "${APT_CLANG[@]}"
  doctor_machine
  return $doctor_missing
}
