#!/bin/bash
# CentiPET on a SLURM cluster: one job per participant, then the group level.
#
#   people=(BIDS/sub-*/)
#   job=$(sbatch --parsable --array=0-$((${#people[@]} - 1))%20 docs/slurm_array.sh BIDS OUT)
#   sbatch --dependency=afterany:$job --cpus-per-task=1 --mem=2G docs/slurm_array.sh BIDS OUT group
#
# Processes and memory are taken from the job. A job that was killed goes on where it stopped when
# it is requeued or sent again, as its work folder lies beside OUT (CENTIPET_WORK: elsewhere); jobs
# may share both. CENTIPET is the command to run, where it is not the image centipet.sif in the
# folder the job was sent from. More: docs/cluster.md
#SBATCH --job-name=centipet
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=00:20:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

bids=$(realpath "$1") out=$(realpath -m "$2") level=${3:-participant}
work=${CENTIPET_WORK:-$out-work}
mkdir -p "$out" "$work"

if [ -n "${CENTIPET:-}" ]; then
  read -ra centipet <<<"$CENTIPET"
else
  # --containall keeps the environment out; what the job may use has to be told
  for name in SLURM_CPUS_PER_TASK SLURM_CPUS_ON_NODE SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU; do
    if [ -n "${!name:-}" ]; then export "APPTAINERENV_$name=${!name}"; fi
  done
  centipet=(apptainer run --containall -B "$bids:$bids:ro" -B "$out" -B "$work" centipet.sif)
fi

# exec: SLURM's SIGTERM reaches centipet itself, which ends cleanly before the SIGKILL
if [ "$level" = participant ]; then
  people=("$bids"/sub-*/)
  label=$(basename "${people[$SLURM_ARRAY_TASK_ID]}")
  exec "${centipet[@]}" "$bids" "$out" participant --participant-label "$label" -w "$work"
fi
exec "${centipet[@]}" "$bids" "$out" group
