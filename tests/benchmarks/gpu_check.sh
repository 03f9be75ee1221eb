#!/bin/sh
# Everything that needs a GPU: gpu_check.sh FOLDER. See README.md beside this.
# On a machine without one: gpu_check.sh FOLDER --cpu --tiny
here=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH="$here/../..:$here:$here/../conformance:$here/../priors/networks:$here/..${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" "$here/gpu_check.py" "$@"
