#!/usr/bin/env bash
# Runs a command in the environment that `make build` made, as in: tools/in_environment.sh face3dmm --help
set -eo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/.venv/bin/activate"
if [ -z "${ROS_DISTRO:-}" ]; then
  export AMENT_PREFIX_PATH=$root/.venv${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}
fi
source "$root/install/local_setup.bash"
exec "$@"
