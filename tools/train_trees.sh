#!/usr/bin/env bash
# Makes what the backend `trees` finds faces with, from nothing, in place of that in resource/, in less than two hours on
# two cores; seeds and counts stand below and in face3dmm_ros/lab/:
#   make train-trees ASSETS=makehuman PEOPLE="london:odd canada"
# PEOPLE: portraits with points set by hand; ASSETS: MakeHuman's assets, without beard/, and panoramas, else hair and
# eyes are drawn. docs/command_line.md tells where both come from. After a stop at any moment the same command goes on;
# runs/ keeps what is made.
set -euo pipefail
models=resource/landmark_models
read -ra people <<<"${PEOPLE:?names no folder of portraits, and renders alone teach to see renders}"
assets=(); [ -z "${ASSETS:-}" ] || assets=(--assets "$ASSETS")

say() { echo "train-trees: $*" >&2; }
lab() { python -m "face3dmm_ros.lab.$1" "${@:2}"; }
views() { lab landmark_trees.train "${teachers[@]}" --out runs/trees/trees.npz "$@"; }

say "people drawn, into runs/tree_people, and photographs turned, into runs/tree_turned"
face3dmm synth --format dataset "${assets[@]}" --people "${people[@]}" --count 6000 --max-yaw 100 --size 256x256 --seed 5 \
  --jobs 1 --out runs/tree_people &
face3dmm synth --format dataset --photographs "${people[@]}" --count 4000 --max-yaw 95 --size 300x300 --seed 3 --out runs/tree_turned
wait $!
# Photographs count twice.
teachers=(runs/tree_people runs/tree_turned runs/tree_turned --work runs/trees)
say "the trees, two views at a time"
mkdir -p runs/trees
views --views 0 1 &
views --views 2 3
wait $!
views
cp runs/trees/trees.npz $models/
say "the detector"
lab face_detector.train runs/tree_people runs/tree_turned --out $models/hog.npz
say "what tells faces from what only looks like one"
lab landmark_trees.fit_check runs/tree_people runs/tree_turned --out $models/tree_check.npz
say "done: git status shows what is new in resource/"
