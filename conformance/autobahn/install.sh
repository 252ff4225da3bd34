#!/usr/bin/env bash
# Installs the Autobahn Testsuite into a cache folder and writes there `wstest`, which runs it.
#
#   install.sh CACHE_FOLDER
#
# The suite needs Python 2.7. A `python2.7` of the machine is taken where it works; otherwise Debian
# 11's packages are unpacked into the cache (nothing is installed), from the archive that the
# machine's own apt is set up with. TEST_PYTHON27=debian forces the second way.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cache=$(cd "$1" && pwd)

pip_version=20.3.4
setuptools_version=44.1.1
debian_packages=(python2.7-minimal libpython2.7-minimal libpython2.7-stdlib libssl1.1 libffi7)

fail() {
  printf 'autobahn: %s\n' "$*" >&2
  exit 1
}

works() {
  "$@" -c 'import ctypes, hashlib, ssl, sys, zlib; sys.exit(sys.version_info[:2] != (2, 7))' \
    >/dev/null 2>&1 </dev/null
}

find_python() {
  local candidate
  [ "${TEST_PYTHON27:-}" = debian ] && return 1
  for candidate in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    if works "$candidate"; then
      python=$candidate
      return 0
    fi
  done
  return 1
}

# The main archive of this machine's own Debian, as apt knows it.
archive() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' \
    'Created-By: Packages' 2>/dev/null |
    awk -v release="$codename" '$2 == release && $3 == "main" && $4 == "Debian" { print $1; exit }'
}

unpack_python() {
  local root=$cache/debian11 uri keyring
  python=$root/wrapper
  works "$python" && return 0
  command -v apt-get >/dev/null || fail "no python2.7 here, and no apt-get to fetch one with"
  uri=$(archive)
  if [ -z "$uri" ]; then
    apt-get update >/dev/null
    uri=$(archive)
  fi
  [ -n "$uri" ] || fail "apt knows no main Debian archive to take python2.7 from"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  rm -rf "$root"
  mkdir -p "$root"/{apt/lists/partial,apt/archives/partial,packages,files}
  printf 'deb [signed-by=%s] %s bullseye main\n' "$keyring" "$uri" >"$root/apt/sources.list"
  : >"$root/apt/status"
  local private=(
    -o "Dir::Etc::SourceList=$root/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State=$root/apt" -o "Dir::State::Lists=$root/apt/lists"
    -o "Dir::State::status=$root/apt/status" -o "Dir::Cache=$root/apt"
    -o "Dir::Cache::archives=$root/apt/archives" -o APT::Sandbox::User=
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  )
  echo "autobahn: unpacking Debian 11's Python 2.7 into $root" >&2
  apt-get "${private[@]}" -qq update >&2 || fail "cannot read the package list of Debian 11"
  (cd "$root/packages" && apt-get "${private[@]}" -qq download "${debian_packages[@]}" >&2) ||
    fail "cannot download ${debian_packages[*]}"
  local package
  for package in "$root"/packages/*.deb; do
    dpkg-deb -x "$package" "$root/files"
  done
  cat >"$python" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)/files
for folder in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*; do
  [ -d "$folder" ] && LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH PYTHONHOME="$root/usr"
exec "$root/usr/bin/python2.7" "$@"
WRAPPER
  chmod +x "$python"
  works "$python" || fail "the unpacked python2.7 does not run: $("$python" -c 'import ctypes, hashlib, ssl, zlib' 2>&1 | tail -n 1)"
}

find_pip() {
  local candidate
  for candidate in python3 "$python"; do
    if "$candidate" -m pip --version >/dev/null 2>&1 </dev/null; then
      downloader=$candidate
      return 0
    fi
  done
  fail "no pip: install python3-pip"
}

pip27() {
  PYTHONPATH=$(echo "$cache"/pip/pip-*.whl):$cache/site PYTHONWARNINGS=ignore \
    "$python" -m pip "$@" --quiet --no-deps --disable-pip-version-check 2>"$cache/pip.log" || {
    cat "$cache/pip.log" >&2
    fail "pip $1 did not work"
  }
}

# pip runs from its wheel; setuptools comes first, for the packages that have no wheel.
install_suite() {
  rm -rf "$cache/site" "$cache/pip"
  mkdir -p "$cache/pip"
  find_pip
  "$downloader" -m pip download --quiet --no-deps --only-binary ':all:' -d "$cache/pip" \
    "pip==$pip_version"
  pip27 install --only-binary ':all:' --target "$cache/site" "setuptools==$setuptools_version"
  pip27 install --no-build-isolation --target "$cache/site" -r "$here/requirements.txt"
  # A namespace package relies on a .pth file, which is not read outside site-packages.
  touch "$cache/site/zope/__init__.py"
}

find_python || unpack_python
stamp="$python $(cksum <"$here/requirements.txt")"
if [ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ]; then
  echo "autobahn: installing the suite into $cache for $python" >&2
  rm -f "$cache/stamp"
  install_suite
  cat >"$cache/wstest" <<WSTEST
#!/bin/sh
PYTHONPATH="$cache/site" PYTHONWARNINGS=ignore exec "$python" -c 'from autobahntestsuite.wstest import run; run()' "\$@"
WSTEST
  chmod +x "$cache/wstest"
  "$cache/wstest" --help >/dev/null 2>"$cache/pip.log" </dev/null || {
    cat "$cache/pip.log" >&2
    fail "the suite was installed but does not start"
  }
  printf '%s\n' "$stamp" >"$cache/stamp"
fi
