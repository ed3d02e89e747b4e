/* Hearing of changes to nftables. */
#include "common.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

/* openNftablesWatch(): a descriptor to be read as raw packets, each one or more netlink messages. */
napi_value open_nftables_watch(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return throw_errno(env, "netlink socket", errno);
  int group = NFNLGRP_NFTABLES;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0)
    return make_int(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, "netlink membership", error);
}
