/* Raw sockets for protocols 50 and 51, UDP sockets for IKE, and sending in batches. IPv4. */
#include "common.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const int on = 1;
static const int buffer_bytes = 8 << 20;

/* As large as we may: past the system's limit with CAP_NET_ADMIN of the whole machine, up to it otherwise. */
static void enlarge_buffer(int fd, int force_option, int option) {
  if (setsockopt(fd, SOL_SOCKET, force_option, &buffer_bytes, sizeof buffer_bytes) < 0)
    setsockopt(fd, SOL_SOCKET, option, &buffer_bytes, sizeof buffer_bytes);
}

/* A non-blocking IPv4 socket whose packets carry `mark`, or -1 with errno. */
static int open_marked(int type, int protocol, int mark) {
  int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -1;
  enlarge_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value);
}

static napi_value finish(napi_env env, int fd, int ok, const char *syscall) {
  if (fd >= 0 && ok) return make_int(env, fd);
  int error = errno;
  if (fd >= 0) close(fd);
  return throw_errno(env, syscall, error);
}

/* openRawReceiver(protocol, mark): receives whole IP packets of a protocol, and news of path MTUs. */
napi_value open_raw_receiver(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int protocol, mark;
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &protocol) ||
      !get_int(env, arguments[1], &mark))
    return NULL;
  int fd = open_marked(SOCK_RAW, protocol, mark);
  int ok = fd >= 0 && set_option(fd, IPPROTO_IP, IP_RECVERR, 1) == 0;
  return finish(env, fd, ok, "raw socket");
}

/* openRawSender(mark): sends packets whose IP header we write. */
napi_value open_raw_sender(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int mark;
  if (!get_arguments(env, info, 1, arguments) || !get_int(env, arguments[0], &mark)) return NULL;
  int fd = open_marked(SOCK_RAW, IPPROTO_RAW, mark);
  /* The kernel's own path MTU is that of the inner packets too: it must not cut the outer ones. */
  int ok = fd >= 0 && set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) == 0;
  return finish(env, fd, ok, "raw socket");
}

/* openUdp(port, mark, noChecksum): bound to all addresses; each datagram tells the one it came to. */
napi_value open_udp(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int port, mark, no_checksum;
  if (!get_arguments(env, info, 3, arguments) || !get_int(env, arguments[0], &port) ||
      !get_int(env, arguments[1], &mark) || !get_int(env, arguments[2], &no_checksum))
    return NULL;
  int fd = open_marked(SOCK_DGRAM, 0, mark);
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int ok = fd >= 0 && set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) == 0 &&
           set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT) == 0 &&
           (!no_checksum || setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
  if (!ok) return finish(env, fd, ok, "UDP socket");
  return finish(env, fd, bind(fd, (struct sockaddr *)&local, sizeof local) == 0, "bind");
}

/* Sends all of `messages`, one after the other where the kernel balks; returns how many it refused. */
static uint32_t send_batch(int fd, struct mmsghdr *messages, unsigned count, int *patience) {
  uint32_t refused = 0;
  unsigned next = 0;
  int retried = 0;
  while (next < count) {
    int sent = sendmmsg(fd, messages + next, count - next, 0);
    if (sent > 0) {
      next += (unsigned)sent;
      retried = 0;
      continue;
    }
    if (errno == EINTR) continue;
    if ((errno == EAGAIN || errno == ENOBUFS) && wait_writable(fd, patience)) continue;
    /* An error may be the echo of an earlier packet (an ICMP answer), so each packet gets a second chance. */
    if (!retried) {
      retried = 1;
      continue;
    }
    refused++;
    next++;
    retried = 0;
  }
  return refused;
}

/* sendRaw(fd, packets): how many the kernel refused. The destination is the one in the IP header. */
napi_value send_raw(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd, patience = 5;
  uint32_t count, refused = 0;
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &fd)) return NULL;
  if (napi_get_array_length(env, arguments[1], &count) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an array of packets");
    return NULL;
  }
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec parts[BATCH_PACKETS];
  struct sockaddr_in destinations[BATCH_PACKETS];
  memset(messages, 0, sizeof messages);
  memset(destinations, 0, sizeof destinations);
  for (uint32_t i = 0; i < count;) {
    unsigned filled = 0;
    for (; i < count && filled < BATCH_PACKETS; i++) {
      struct packet packet;
      if (!get_packet(env, arguments[1], i, &packet)) return NULL;
      if (packet.length < sizeof(struct iphdr)) {
        refused++;
        continue;
      }
      parts[filled] = (struct iovec){.iov_base = packet.bytes, .iov_len = packet.length};
      destinations[filled].sin_family = AF_INET;
      memcpy(&destinations[filled].sin_addr, packet.bytes + offsetof(struct iphdr, daddr), 4);
      messages[filled].msg_hdr.msg_name = &destinations[filled];
      messages[filled].msg_hdr.msg_namelen = sizeof destinations[filled];
      messages[filled].msg_hdr.msg_iov = &parts[filled];
      messages[filled].msg_hdr.msg_iovlen = 1;
      filled++;
    }
    refused += send_batch(fd, messages, filled, &patience);
  }
  return make_int(env, refused);
}

union pktinfo_control {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/*
 * sendUdp(fd, payloads, addresses): how many the kernel refused. `addresses` is a Uint32Array of three numbers a
 * payload, in host order: peer address, peer port, local address (0: the kernel's choice).
 */
napi_value send_udp(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int fd, patience = 5;
  uint32_t count, refused = 0;
  napi_typedarray_type type;
  size_t address_count;
  void *address_data;
  if (!get_arguments(env, info, 3, arguments) || !get_int(env, arguments[0], &fd)) return NULL;
  if (napi_get_array_length(env, arguments[1], &count) != napi_ok ||
      napi_get_typedarray_info(env, arguments[2], &type, &address_count, &address_data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || address_count < (size_t)count * 3) {
    napi_throw_type_error(env, NULL, "expected an array of payloads and a Uint32Array of their addresses");
    return NULL;
  }
  const uint32_t *addresses = address_data;
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec parts[BATCH_PACKETS];
  struct sockaddr_in peers[BATCH_PACKETS];
  union pktinfo_control controls[BATCH_PACKETS];
  memset(messages, 0, sizeof messages);
  memset(peers, 0, sizeof peers);
  memset(controls, 0, sizeof controls);
  for (uint32_t i = 0; i < count;) {
    unsigned filled = 0;
    for (; i < count && filled < BATCH_PACKETS; i++, filled++) {
      struct packet payload;
      if (!get_packet(env, arguments[1], i, &payload)) return NULL;
      struct msghdr *header = &messages[filled].msg_hdr;
      parts[filled] = (struct iovec){.iov_base = payload.bytes, .iov_len = payload.length};
      peers[filled].sin_family = AF_INET;
      peers[filled].sin_addr.s_addr = htonl(addresses[3 * i]);
      peers[filled].sin_port = htons((uint16_t)addresses[3 * i + 1]);
      header->msg_name = &peers[filled];
      header->msg_namelen = sizeof peers[filled];
      header->msg_iov = &parts[filled];
      header->msg_iovlen = 1;
      header->msg_control = &controls[filled];
      header->msg_controllen = sizeof controls[filled];
      struct cmsghdr *control = CMSG_FIRSTHDR(header);
      control->cmsg_level = IPPROTO_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
      struct in_pktinfo *pktinfo = (struct in_pktinfo *)CMSG_DATA(control);
      memset(pktinfo, 0, sizeof *pktinfo);
      pktinfo->ipi_spec_dst.s_addr = htonl(addresses[3 * i + 2]);
    }
    refused += send_batch(fd, messages, filled, &patience);
  }
  return make_int(env, refused);
}
