#!/usr/bin/env bash
# Start Ray inside a Slurm allocation, and run a command on it; Ray ends with the allocation.
#
#   sbatch --nodes=4 --gpus-per-node=1 --cpus-per-task=8 --time=12:00:00 \
#       clusters/slurm.sh python -m orchestrator.sweep paper --data /shared/data --out /shared/runs
#
# The project's environment, the data and RUNS lie on storage that all nodes see. A job that is out
# of time is given again with the same command: the sweep goes on where it was stopped.
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:INT@120
set -euo pipefail

if [ "$#" = 0 ]; then
	echo "usage: sbatch [options] clusters/slurm.sh COMMAND…" >&2
	exit 2
fi
: "${SLURM_JOB_NODELIST:?run this inside a Slurm allocation, by sbatch}"

# Slurm runs a copy of this script: the project is where the job was submitted.
cd "${SLURM_SUBMIT_DIR:-$PWD}"
if [ -d .venv/bin ]; then
	PATH="$PWD/.venv/bin:$PATH"
fi

# Every node asks for the token; all of them read it from the shared home directory.
export RAY_AUTH_MODE=token RAY_worker_maximum_startup_concurrency=16
[ -s "$HOME/.ray/auth_token" ] || ray get-auth-token --generate >/dev/null

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 -w "$head" hostname -I | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node
export RAY_ADDRESS="$head_ip:$port"

steps=()
stop() {
	for step in "${steps[@]}"; do kill "$step" 2>/dev/null || true; done
	wait || true
}
trap stop EXIT

start() { # NODE RAY-START-ARGUMENTS…
	local node=$1
	shift
	srun --nodes=1 --ntasks=1 --overlap -w "$node" \
		ray start --block --disable-usage-stats --num-cpus "${SLURM_CPUS_PER_TASK:-1}" "$@" &
	steps+=("$!")
}

start "$head" --head --node-ip-address="$head_ip" --port="$port" --dashboard-host=127.0.0.1
for _ in $(seq 60); do
	ray status >/dev/null 2>&1 && break
	sleep 2
done
for node in "${nodes[@]:1}"; do
	start "$node" --address="$RAY_ADDRESS"
done

"$@" &
command=$!
trap 'kill -INT "$command" 2>/dev/null || true' INT TERM # out of time: stop as on Ctrl-C
code=0
wait "$command" || code=$?
wait "$command" 2>/dev/null || true # a trapped signal ends the first wait
exit "$code"
