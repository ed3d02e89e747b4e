/* Asking the kernel for a route: its MTU and the source address it would use. */
#include "common.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef RTM_F_FIB_MATCH
#define RTM_F_FIB_MATCH 0x2000
#endif

struct route {
  uint32_t mtu_metric; /* 0: none set */
  uint8_t source[16];  /* network order, the first 4 of IPv4; all zero: none given */
  int device;
};

static void add_attribute(struct nlmsghdr *message, uint16_t type, const void *value, size_t length) {
  struct rtattr *attribute = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (uint16_t)RTA_LENGTH(length);
  memcpy(RTA_DATA(attribute), value, length);
  message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void read_metrics(struct rtattr *metrics, struct route *route) {
  int left = (int)RTA_PAYLOAD(metrics);
  for (struct rtattr *m = RTA_DATA(metrics); RTA_OK(m, left); m = RTA_NEXT(m, left))
    if (m->rta_type == RTAX_MTU) memcpy(&route->mtu_metric, RTA_DATA(m), sizeof route->mtu_metric);
}

static void read_route(struct nlmsghdr *message, struct route *route) {
  struct rtmsg *body = NLMSG_DATA(message);
  int left = (int)RTM_PAYLOAD(message);
  for (struct rtattr *a = RTM_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    if (a->rta_type == RTA_OIF) memcpy(&route->device, RTA_DATA(a), sizeof route->device);
    if (a->rta_type == RTA_PREFSRC && RTA_PAYLOAD(a) <= sizeof route->source)
      memcpy(route->source, RTA_DATA(a), RTA_PAYLOAD(a));
    if (a->rta_type == RTA_METRICS) read_metrics(a, route);
    if (a->rta_type == RTA_MULTIPATH && RTA_PAYLOAD(a) >= sizeof(struct rtnexthop))
      route->device = ((struct rtnexthop *)RTA_DATA(a))->rtnh_ifindex;
  }
}

/* One question; returns 0 or an errno. */
static int ask(int fd, const uint8_t *destination, size_t length, uint32_t mark, unsigned flags, struct route *route) {
  union {
    struct nlmsghdr header;
    char space[4096];
  } message;
  memset(&message, 0, 256);
  message.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg));
  message.header.nlmsg_type = RTM_GETROUTE;
  message.header.nlmsg_flags = NLM_F_REQUEST;
  struct rtmsg *body = NLMSG_DATA(&message.header);
  body->rtm_family = length == 16 ? AF_INET6 : AF_INET;
  body->rtm_dst_len = (unsigned char)(8 * length);
  body->rtm_flags = flags;
  add_attribute(&message.header, RTA_DST, destination, length);
  add_attribute(&message.header, RTA_MARK, &mark, sizeof mark);
  if (send(fd, &message, message.header.nlmsg_len, 0) < 0) return errno;
  ssize_t received = recv(fd, &message, sizeof message, 0);
  if (received < 0) return errno;
  if (!NLMSG_OK(&message.header, (size_t)received)) return EBADMSG;
  if (message.header.nlmsg_type == NLMSG_ERROR) {
    struct nlmsgerr *error = NLMSG_DATA(&message.header);
    return error->error == 0 ? EBADMSG : -error->error;
  }
  if (message.header.nlmsg_type != RTM_NEWROUTE) return EBADMSG;
  read_route(&message.header, route);
  return 0;
}

static uint32_t device_mtu(int fd, int device) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (device == 0 || if_indextoname((unsigned)device, request.ifr_name) == NULL) return 0;
  return ioctl(fd, SIOCGIFMTU, &request) < 0 ? 0 : (uint32_t)request.ifr_mtu;
}

/*
 * findRoute(destination, mark): [MTU, source address] of the route that packets with `mark` take; addresses are their 4 or
 * 16 bytes, all zero without a source. The MTU is the configured one (the route's own, else the device's): what the kernel learned from ICMP is left
 * out, because it mixes the inner packets' limit with the outer packets'. Throws with `ENETUNREACH` without a route.
 */
napi_value find_route(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint8_t *destination;
  size_t length;
  uint32_t mark;
  if (!get_arguments(env, info, 2, arguments) || !get_bytes(env, arguments[0], &destination, &length)) return NULL;
  if ((length != 4 && length != 16) || napi_get_value_uint32(env, arguments[1], &mark) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an address and a number");
    return NULL;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return throw_errno(env, "netlink socket", errno);
  struct route resolved = {0}, configured = {0};
  int error = ask(fd, destination, length, mark, 0, &resolved);
  /* Kernels before 4.13 do not know the question for the route as configured: the resolved one must do. */
  if (error == 0 && ask(fd, destination, length, mark, RTM_F_FIB_MATCH, &configured) != 0) configured = resolved;
  close(fd);
  if (error != 0) return throw_errno(env, "route", error);

  int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  uint32_t mtu = device_mtu(inet, resolved.device);
  if (inet >= 0) close(inet);
  if (configured.mtu_metric != 0 && (mtu == 0 || configured.mtu_metric < mtu)) mtu = configured.mtu_metric;
  if (mtu == 0) mtu = 1500;
  if (mtu > 65535) mtu = 65535;

  napi_value result, buffer, source;
  void *bytes;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      napi_create_arraybuffer(env, length, &bytes, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &source) != napi_ok)
    return NULL;
  memcpy(bytes, resolved.source, length);
  napi_set_element(env, result, 0, make_int(env, mtu));
  napi_set_element(env, result, 1, source);
  return result;
}
