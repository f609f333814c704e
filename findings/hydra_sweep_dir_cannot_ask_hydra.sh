#!/usr/bin/env bash
# hydra-core 1.3.2: the resolver ${hydra:...} works in hydra.run.dir and in hydra.sweep.subdir, but in hydra.sweep.dir
# it ends a multirun before its first job, with a message about HydraConfig.
#
# Guess before: a folder name that is good for hydra.run.dir is good for hydra.sweep.dir.
# Seen: "HydraConfig was not set", exit status 1, no job has run. The sweeper makes its folder before a job, and so
# the configuration that the resolver reads, exists. The interpolation ${hydra.runtime.choices...} is accepted, but is
# looked up anew in each job: the runs of one sweep lie in several folders, and multirun.yaml in that of the default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "hydra-core==1.3.2" "omegaconf==2.3.0"
cd "$folder"
mkdir -p conf/data
touch conf/data/a.yaml conf/data/b.yaml
cat > conf/config.yaml <<'Y'
defaults: [{data: a}, _self_]
hydra:
  run: {dir: 'run_${hydra:runtime.choices.data}'}
  sweep: {dir: 'sweep_${hydra:runtime.choices.data}', subdir: 'job_${hydra:runtime.choices.data}'}
Y
cat > app.py <<'P'
import hydra


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    print("ran")


main()
P
venv/bin/python app.py data=b
test -d run_b
if venv/bin/python app.py -m data=a,b > out.txt 2>&1; then echo "the behaviour has changed: no error" && exit 1; fi
grep -o "HydraConfig was not set" out.txt | head -1
! grep -q "^ran" out.txt
venv/bin/python app.py -m data=a,b 'hydra.sweep.dir=sweep_${hydra.runtime.choices.data}'
test -f sweep_a/multirun.yaml && test -d sweep_a/job_a && test -d sweep_b/job_b
