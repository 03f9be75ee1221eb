#!/bin/bash
# Two hosts without Slurm: on each, bash torchrun_two_hosts.sh RANK FIRST_HOST GPUS --config RUN.yaml --writer.folder DIR
# with RANK 0 on the first host, 1 on the other, and DIR a folder that both see. Where a host's name leads to 127.0.0.1,
# first: export GLOO_SOCKET_IFNAME=eth0 NCCL_SOCKET_IFNAME=eth0, the interface by which they reach each other.
set -e
rank=$1 first=$2 gpus=$3
shift 3
exec torchrun --nnodes=2 --node-rank="$rank" --nproc-per-node="$gpus" --master-addr="$first" --master-port=29500 \
  -m dis_lightning predict --trainer.accelerator=gpu --trainer.strategy=ddp --trainer.num_nodes=2 \
  --trainer.devices="$gpus" "$@"
