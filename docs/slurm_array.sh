#!/bin/bash
# CentiPET on a SLURM cluster: one job per participant, then the group level.
#
#   people=(BIDS/sub-*/)
#   job=$(sbatch --parsable --array=0-$((${#people[@]} - 1))%20 slurm_array.sh BIDS OUT)
#   sbatch --dependency=afterany:$job --cpus-per-task=1 --mem=2G slurm_array.sh BIDS OUT group
#
# Processes and memory are taken from the job. A job that was killed goes on where it stopped when
# it is requeued, as its work folder lies beside OUT; jobs may share both. CENTIPET is the command
# to run, where it is not the image centipet.sif in the folder the job was sent from.
#SBATCH --job-name=centipet
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=00:20:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

bids=$(realpath "$1") out=$(realpath -m "$2") level=${3:-participant}
work=$out-work
mkdir -p "$out" "$work"

if [ -n "${CENTIPET:-}" ]; then
  read -ra centipet <<<"$CENTIPET"
else
  centipet=(apptainer run --containall -B "$bids:$bids:ro" -B "$out" -B "$work" centipet.sif)
fi

if [ "$level" = participant ]; then
  people=("$bids"/sub-*/)
  label=$(basename "${people[$SLURM_ARRAY_TASK_ID]}")
  exec "${centipet[@]}" "$bids" "$out" participant --participant-label "$label" -w "$work"
fi
exec "${centipet[@]}" "$bids" "$out" group
