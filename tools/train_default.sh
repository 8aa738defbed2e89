#!/usr/bin/env bash
# Makes the networks that ship, and the tables that belong to them, from nothing, in place of those in resource/, in
# some eight hours on two cores; seeds and counts stand in config/train/:
#   make train-default ASSETS=makehuman PEOPLE="london:odd canada"
# PEOPLE: portraits with points set by hand, the last folder of calm faces; ASSETS: MakeHuman's assets, without beard/,
# and panoramas, else hair and eyes are drawn. docs/command_line.md tells where both come from. After a stop at any moment
# the same command goes on; runs/ keeps what is made.
set -euo pipefail
models=resource/landmark_models
read -ra people <<<"${PEOPLE:?names no folder of portraits, and only photographs tell what covers a face, and how people look at rest}"

say() { echo "train-default: $*" >&2; }
lab() { python -m "face3dmm_ros.lab.landmark_networks.$1" "${@:2}"; }

say "photographs turned, into runs/turned"
face3dmm synth --format dataset --photographs "${people[@]}" --count 3000 --seed 3 --max-yaw 95 --size 300x300 --out runs/turned
say "the dense network, on drawn people"
face3dmm train dense --out runs/dense
say "and on people"
people_of_0=(--set "datasets.0.options.people=[$(IFS=,; echo "${people[*]}")]")
[ -z "${ASSETS:-}" ] || people_of_0+=(--set "datasets.0.options.assets=$ASSETS")
face3dmm train dense_people --out runs/dense_people "${people_of_0[@]}"
cp runs/dense_people/dense.tflite $models/
say "how its features tell expressions"
lab fit_expression_reader
say "what it sees of covered faces, and of people at rest"
lab fit_cover_reader "${people[@]}"
lab measure_people_at_rest "${people[-1]}"
say "the regressor, on drawn people"
face3dmm train light --out runs/light
say "and on people"
face3dmm train light_people --out runs/light_people "${people_of_0[@]}"
cp runs/light_people/weights.safetensors resource/regressor.safetensors
say "done: git status shows what is new in resource/"
