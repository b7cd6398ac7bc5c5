#!/usr/bin/env bash
# The first process of a host: its own /tmp, /run, /dev/shm and home, then its sshd.
# host_init.sh NAME HOST_DIRECTORY SHARED_DIRECTORY KEPT_PATH…
set -euo pipefail
name=$1 host=$2 shared=$3
shift 3
hostname "$name"
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
cp "$host/sshd_config" "$host/host_key" /run
mount --bind "$shared" /mnt
# What the program lies in may be below /tmp or /root, which are hidden next: keep a way to it.
for kept in "$@"; do
	mkdir -p "/run/kept$kept"
	mount --bind "$kept" "/run/kept$kept"
done
mount --bind "$host/home" /root
mount --bind "$host/tmp" /tmp
for kept in "$@"; do
	mkdir -p "$kept"
	mount --bind "/run/kept$kept" "$kept"
done
exec /usr/sbin/sshd -D -e -f /run/sshd_config
