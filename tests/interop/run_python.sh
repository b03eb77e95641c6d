#!/bin/bash
# Runs a Python test with the packages that scripts/setup.sh installed, or without any if it has not. usage: run_python.sh TEST.py ARGUMENT...
python=${LISAFS_CACHE:-/var/cache/lisafs}/venv/bin/python3
[[ -x $python ]] || python=/usr/bin/python3
exec "$python" -B "$@"
