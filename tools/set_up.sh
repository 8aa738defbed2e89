#!/usr/bin/env bash
# Sets up what `make` needs, each step quietly, with its whole output in log/set_up.log:
#
#   tools/set_up.sh environment    system libraries and .venv, with ROS 2 in it where none is sourced
#   tools/set_up.sh development    what tests and benchmarks use besides
#   tools/set_up.sh torch          torch for the photometric fit and regressors; exit code 1 where it cannot be had
#   tools/set_up.sh viewer         Rerun for the viewer; exit code 1 where it cannot be had
#   tools/set_up.sh docs           MkDocs for the pages of docs/; exit code 1 where it cannot be had
#   tools/set_up.sh build          colcon build into build/ and install/
#
# PYTHON chooses the interpreter of a new .venv (python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

python=${PYTHON:-python3}
venv=$PWD/.venv
log=$PWD/log/set_up.log

say() { echo "face3dmm: $*"; }

fail() {
  echo "face3dmm: $*" >&2
  exit 1
}

# quietly WHAT COMMAND...: says WHAT, runs COMMAND into the log, and shows the log's end where it fails.
quietly() {
  local what=$1
  shift
  say "$what ..."
  mkdir -p "$(dirname "$log")"
  echo "== $what: $*" >>"$log"
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    fail "$what failed; the whole output is in $log"
  fi
}

has_library() { [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p) == *"$1"* ]]; }

has_python_headers() { [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; }

# Debian's names of what building cannot do without, and of what drawing cannot.
missing_build_packages() {
  command -v cmake >/dev/null || echo cmake
  command -v g++ >/dev/null || echo g++
  "$python" -c 'import ensurepip' 2>/dev/null || echo python3-venv
  has_python_headers || echo python3-dev
}

missing_gl_packages() {
  has_library libEGL.so.1 || echo libegl1
  has_library libGL.so.1 || echo libgl1
  has_library libOSMesa.so || echo libosmesa6
  compgen -G '/usr/lib*/dri/*_dri.so' >/dev/null || compgen -G '/usr/lib/*/dri/*_dri.so' >/dev/null || echo libgl1-mesa-dri
}

may_install() { command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; }

# Packages that the distribution no longer has are left out.
install_packages() {
  local as_root=() available=() package
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -q
  for package in "$@"; do
    if [ -n "$(apt-cache show "$package" 2>/dev/null)" ]; then available+=("$package"); fi
  done
  "${as_root[@]}" apt-get install -q -y --no-install-recommends "${available[@]}"
}

find_missing_packages() {
  mapfile -t build_packages < <(missing_build_packages)
  mapfile -t gl_packages < <(missing_gl_packages)
  missing=("${build_packages[@]}" "${gl_packages[@]}")
}

system_packages() {
  local build_packages gl_packages missing
  find_missing_packages
  if [ ${#missing[@]} -gt 0 ] && may_install; then
    (quietly "installing ${missing[*]}" install_packages "${missing[@]}") || true
    find_missing_packages
  fi
  if [ ${#build_packages[@]} -gt 0 ]; then
    fail "these are missing: ${missing[*]}; on Debian and Ubuntu: sudo apt-get install ${missing[*]}"
  fi
  # One way to draw without a display is enough.
  if ! has_library libEGL.so.1 && ! has_library libOSMesa.so; then
    say "without a display there is no OpenGL here, so no picture of an avatar; on Debian and Ubuntu: sudo apt-get install ${gl_packages[*]}"
  fi
}

# With ROS 2 installed, .venv shows its Python's packages too and adds what is missing. numpy keeps its major version,
# because the compiled parts of that ROS 2 keep to it.
install_beside_ros() {
  local constraints=$venv/numpy.txt missing
  "$venv/bin/python" -c 'import numpy; print(f"numpy<{int(numpy.__version__.split(chr(46))[0]) + 1}")' >"$constraints"
  mapfile -t missing < <("$venv/bin/python" - <<'PYTHON'
from importlib.util import find_spec
requirements = {"cv2": "opencv-python-headless", "matplotlib": "matplotlib", "OpenGL": "PyOpenGL", "scipy": "scipy"}
requirements |= {"PIL": "pillow", "tqdm": "tqdm", "yaml": "PyYAML"}
print(*(name for module, name in requirements.items() if find_spec(module) is None), sep="\n", end="")
PYTHON
  )
  quietly "installing what ROS 2 $ROS_DISTRO does not bring (log/set_up.log)" \
    "$venv/bin/pip" install -c "$constraints" -r requirements-pip.txt "${missing[@]}"
}

environment() {
  system_packages
  # A .venv made for another ROS 2 is made again.
  if compgen -G "$venv/.environment-*" >/dev/null && [ ! -e "$venv/.environment-${ROS_DISTRO:-wheels}" ]; then
    rm -rf "$venv"
  fi
  if [ ! -x "$venv/bin/pip" ]; then
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
      fail "$("$python" --version) was found and Python 3.10 to 3.13 is needed: name one, as in: make PYTHON=python3.12"
    rm -rf build install
    quietly "making .venv" "$python" -m venv ${ROS_DISTRO:+--system-site-packages} "$venv"
  fi
  if [ -n "${ROS_DISTRO:-}" ]; then
    install_beside_ros
  else
    quietly "installing ROS 2 Jazzy and the libraries into .venv, about 200 MB to download" \
      "$venv/bin/pip" install -r requirements-ros.txt -r requirements.txt
  fi
}

development() {
  local constraints=$venv/numpy.txt
  quietly "installing the development tools into .venv" \
    "$venv/bin/pip" install ${ROS_DISTRO:+-c "$constraints"} -r requirements-dev.txt
}

# PyPI's torch for Linux on x86-64 brings gigabytes of CUDA, which nothing here uses: PyTorch's own index has builds
# without it, and where that cannot be reached, pip's usual indexes serve only if theirs needs none either.
torch() {
  local constraints=$venv/numpy.txt index=https://download.pytorch.org/whl/cpu
  local install=("$venv/bin/pip" install ${ROS_DISTRO:+-c "$constraints"} -r requirements-torch.txt)
  if "$venv/bin/python" -c "import urllib.request; urllib.request.urlopen('$index/torch/', timeout=5)" 2>/dev/null; then
    install+=(--extra-index-url "$index")
  elif [[ $("${install[@]}" --quiet --dry-run --report - 2>/dev/null </dev/null) == *'"nvidia-'* ]]; then
    say "without torch, so without the fit methods photometric and regressor: $index cannot be reached, and PyPI's has gigabytes of CUDA"
    return 1
  fi
  if ! (quietly "installing torch into .venv" "${install[@]}"); then
    say "without torch, so without the fit methods photometric and regressor"
    return 1
  fi
}

# Rerun needs numpy 2, which the compiled parts of an older ROS 2 do not go with.
viewer() {
  local constraints=$venv/numpy.txt
  if ! (quietly "installing Rerun into .venv, about 190 MB to download" \
    "$venv/bin/pip" install ${ROS_DISTRO:+-c "$constraints"} -r requirements-viewer.txt); then
    say "without Rerun, so without the viewer"
    return 1
  fi
}

docs() {
  if ! (quietly "installing MkDocs into .venv" "$venv/bin/pip" install -r requirements-docs.txt); then
    say "without MkDocs, so without the pages of docs/"
    return 1
  fi
}

build() {
  local packages=(.)
  if [ -z "${ROS_DISTRO:-}" ]; then
    export PATH=$venv/bin:$PATH AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
    packages+=(tools/tf2_msgs)
  fi
  command -v colcon >/dev/null ||
    fail "colcon was not found; on Debian and Ubuntu: sudo apt-get install python3-colcon-common-extensions"
  # Links to files that are gone; colcon leaves them.
  [ ! -d install ] || find install -xtype l -delete
  quietly "building the package with colcon" \
    colcon build --paths "${packages[@]}" --symlink-install --cmake-args -DPython3_EXECUTABLE="$venv/bin/python" -DCMAKE_BUILD_TYPE=Release
}

case ${1:-} in
  environment | development | torch | viewer | docs | build) "$1" ;;
  *) fail "usage: tools/set_up.sh environment|development|torch|viewer|docs|build" ;;
esac
