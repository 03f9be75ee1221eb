#!/bin/sh
# Installs the project of the current folder into /opt/venv, for the Dockerfile and for Apptainer alike.
#   TORCH_INDEX  PyTorch's index of builds for one device; empty: the package index, whose builds are for CUDA
#   EXTRAS       extras of the project, comma-separated
set -eu

python3 -m venv /opt/venv
install() {
  /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt "$@"
}
# Both of one index: torchvision of another does not find torch's libraries. What they need comes from the package index.
if [ -n "${TORCH_INDEX-}" ]; then
  install --no-deps --index-url "$TORCH_INDEX" torch torchvision
fi
install ".${EXTRAS:+[$EXTRAS]}"
