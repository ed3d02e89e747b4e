#!/bin/sh
# PID 1 of a User Mode Linux machine whose root file system is the host's own. `uml.ts` copies this file into a job
# directory next to `command.sh` (what to run), `modprobe` and `lib/modules`; the command's exit code goes to `status`.
# /run and /dev are this machine's own; everything else that is written here stays on the host.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
job=$(dirname "$0")

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm /dev/net
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/netns /run/lock

# The kernel's own requests for modules (ciphers, nf_tables expressions) must find this kernel's modules too.
echo "$job/modprobe" > /proc/sys/kernel/modprobe
"$job/modprobe" -a esp4 ah4 esp6 ah6 af_key xfrm_user xfrm4_tunnel des_generic authenc gcm \
  cbc ctr hmac ghash-generic seqiv echainiv sha512_generic drbg ansi_cprng tun veth nf_tables sch_netem
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up

sh "$job/command.sh" < /dev/null
echo $? > "$job/status"
sync
halt -f
