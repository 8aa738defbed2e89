#!/usr/bin/env bash
# What each kind of training data brings on photographs: the light regressor, trained for the same short time on each,
# each line with one thing more than the line before (docs/regressor.md has the table). Some two hours on one of two cores;
# after a stop the same command goes on, and OUT keeps what is made.
#   tools/in_environment.sh tools/data_ablation.sh OUT MAKEHUMAN AFLW2000 london:odd canada
# MAKEHUMAN: its assets and panoramas; AFLW2000: photographs with labels, which only judge; then portraits with points.
set -euo pipefail
out=$1 assets=$(realpath "$2") judge=$3
people=("${@:4}")
steps=${STEPS:-300}
mkdir -p "$out/skins_alone" "$out/photographs"
ln -sfn "$assets/skins" "$out/skins_alone/skins"

say() { echo "data_ablation: $*" >&2; }

synthetic() {  # NAME WEIGHT FURTHER_OPTIONS
  echo "{kind: synthetic, path: $out/$1, weight: $2, options: {chunks: 4, chunk_size: 250, seed: 11, processes: 2," \
    "undisturbed: 0.1, scenes: {image_size: [256, 256], occluder: 0.1, winks: 0.2}${3:+, $3}}}"
}

look() {  # NAME DATASETS FURTHER_ARGUMENTS
  local run=$out/runs/$1
  [ -f "$run/done" ] || {
    say "$1"
    face3dmm train light --out "$run" --set "datasets=[$2]" --set layout.texture_count=0 --set steps="$steps" \
      --set optimizer.cosine.warm_up=50 --set average=0.98 --set validation_every="$steps" --set validation_count=100 "${@:3}"
    face3dmm evaluate dataset "$judge" --format aflw2000 --landmarks truth --fit-method regressor \
      --regressor "$run/weights.safetensors" --out "$run/judged" >"$run/judged.txt"
    touch "$run/done"
  }
}

skins="assets: $out/skins_alone" dressed="assets: $assets" peoples="people: [$(IFS=,; echo "${people[*]}")]"
turned="{kind: labelled_folder, path: $out/turned, weight: 0.4}"
photographs="{kind: unlabelled_folder, path: $out/photographs, weight: 0.25}"
second_branch=(--set "losses.landmark_2d={weight: 0.005}")
everything="$(synthetic people 0.6 "$dressed, $peoples"), $turned"

look drawn "$(synthetic drawn 1 "")"
look skins "$(synthetic skins 1 "$skins")"
look hair_and_light "$(synthetic dressed 1 "$dressed")"
look skins_of_people "$(synthetic people 1 "$dressed, $peoples")"
face3dmm synth --format dataset --photographs "${people[@]}" --count 3000 --seed 3 --max-yaw 95 --size 300x300 --out "$out/turned"
look turned "$everything"
say "photographs of which landmarks alone are known: 2DASL's second branch"
python - "$out/photographs" "${people[@]}" <<'END'
import sys
from pathlib import Path
from face3dmm_ros.lab.synthesis.people_folder import PeopleFolder

folder = Path(sys.argv[1])
for number, people in enumerate(map(PeopleFolder.parse, sys.argv[2:])):
    for picture in people.pictures():
        link = folder / f"{number}_{picture.name}"
        link.unlink(missing_ok=True)
        link.symlink_to(picture.resolve())
END
look photographs "$everything, $photographs" "${second_branch[@]}"
look self_critic "$everything, $photographs" "${second_branch[@]}" --set "losses.self_critic={weight: 0.005, rate: 1e-4}"
look landmark_map "$everything, $photographs" "${second_branch[@]}" --set landmark_map=true
look cycle "$everything, $photographs" "${second_branch[@]}" --set landmark_map=true --set "losses.cycle={weight: 0.005}"

for run in drawn skins hair_and_light skins_of_people turned photographs self_critic landmark_map cycle; do
  echo "== $run"
  sed -n 1,7p "$out/runs/$run/judged.txt"
done
