/* Raw sockets for protocols 50 and 51, UDP sockets for IKE, and sending in batches; of either family. */
#include "common.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
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

/* A non-blocking socket whose packets carry `mark`, or -1 with errno. */
static int open_marked(int family, int type, int protocol, int mark) {
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
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

/* What the header of an IPv6 packet said: a raw socket gives its payload only. */
static int want_ipv6_headers(int fd) {
  static const int wanted[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS,
                               IPV6_RECVHOPOPTS, IPV6_RECVRTHDR,    IPV6_RECVDSTOPTS};
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
    if (set_option(fd, IPPROTO_IPV6, wanted[i], 1) < 0) return -1;
  return 0;
}

/* Of ICMPv6, a raw socket of ours gets nothing but "packet too big". */
static int want_packet_too_big_only(int fd) {
  struct icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &filter);
  return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
}

/* openRawReceiver(family, protocol, mark): receives whole IP packets of a protocol, and in IPv4 news of path MTUs. */
napi_value open_raw_receiver(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int family, protocol, mark;
  if (!get_arguments(env, info, 3, arguments) || !get_int(env, arguments[0], &family) ||
      !get_int(env, arguments[1], &protocol) || !get_int(env, arguments[2], &mark))
    return NULL;
  int fd = open_marked(family == 6 ? AF_INET6 : AF_INET, SOCK_RAW, protocol, mark);
  /* The kernel would believe "fragmentation needed" about any ESP; we look at the SPI. */
  int ok = fd >= 0 && (family == 6 ? want_ipv6_headers(fd) == 0
                                   : set_option(fd, IPPROTO_IP, IP_RECVERR, 1) == 0 &&
                                         set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE) == 0);
  if (ok && family == 6 && protocol == IPPROTO_ICMPV6) ok = want_packet_too_big_only(fd) == 0;
  return finish(env, fd, ok, "raw socket");
}

/* openRawSender(family, mark): sends packets whose IP header we write. */
napi_value open_raw_sender(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int family, mark;
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &family) ||
      !get_int(env, arguments[1], &mark))
    return NULL;
  int fd = open_marked(family == 6 ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_RAW, mark);
  /* The kernel's own path MTU is that of the inner packets too: it must not cut the outer ones. In IPv6 it never does. */
  int ok = fd >= 0 && (family == 6 || set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) == 0);
  return finish(env, fd, ok, "raw socket");
}

/* For IPv6 only. A checksum there always is (RFC 8200 8.1). With `follow_path`, long datagrams are cut for their path. */
static int open_udp6(int port, int mark, int follow_path) {
  int fd = open_marked(AF_INET6, SOCK_DGRAM, 0, mark);
  struct sockaddr_in6 local = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  int discover = follow_path ? IPV6_PMTUDISC_WANT : IPV6_PMTUDISC_OMIT;
  if (fd < 0 || (set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 &&
                 set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == 0 &&
                 set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) == 0 &&
                 set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, discover) == 0 &&
                 bind(fd, (struct sockaddr *)&local, sizeof local) == 0))
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/*
 * openUdp(family, port, mark, carriesEsp): bound to all addresses; each datagram tells the one it came to, and ICMP errors
 * are told of. ESP inside needs no checksum in IPv4, and is as long as the engine made it.
 */
napi_value open_udp(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int family, port, mark, no_checksum;
  if (!get_arguments(env, info, 4, arguments) || !get_int(env, arguments[0], &family) ||
      !get_int(env, arguments[1], &port) || !get_int(env, arguments[2], &mark) ||
      !get_int(env, arguments[3], &no_checksum))
    return NULL;
  if (family == 6) return finish(env, open_udp6(port, mark, !no_checksum), 1, "UDP socket");
  int fd = open_marked(AF_INET, SOCK_DGRAM, 0, mark);
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int ok = fd >= 0 && set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) == 0 &&
           set_option(fd, IPPROTO_IP, IP_RECVERR, 1) == 0 &&
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

/* The destination in the header of a packet; its length, or 0 for a packet that is none. */
static socklen_t read_destination(const struct packet *packet, struct sockaddr_storage *destination) {
  memset(destination, 0, sizeof *destination);
  unsigned version = packet->length == 0 ? 0 : packet->bytes[0] >> 4;
  if (version == 4 && packet->length >= sizeof(struct iphdr)) {
    struct sockaddr_in *to = (struct sockaddr_in *)destination;
    to->sin_family = AF_INET;
    memcpy(&to->sin_addr, packet->bytes + offsetof(struct iphdr, daddr), sizeof to->sin_addr);
    return sizeof *to;
  }
  if (version == 6 && packet->length >= sizeof(struct ip6_hdr)) {
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)destination;
    to->sin6_family = AF_INET6;
    memcpy(&to->sin6_addr, packet->bytes + offsetof(struct ip6_hdr, ip6_dst), sizeof to->sin6_addr);
    return sizeof *to;
  }
  return 0;
}

/*
 * sendRaw(fd, packets): how many the kernel refused. The destination is the one in the IP header, of the socket's family.
 */
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
  struct sockaddr_storage destinations[BATCH_PACKETS];
  memset(messages, 0, sizeof messages);
  for (uint32_t i = 0; i < count;) {
    unsigned filled = 0;
    for (; i < count && filled < BATCH_PACKETS; i++) {
      struct packet packet;
      if (!get_packet(env, arguments[1], i, &packet)) return NULL;
      socklen_t name_length = read_destination(&packet, &destinations[filled]);
      if (name_length == 0) {
        refused++;
        continue;
      }
      parts[filled] = (struct iovec){.iov_base = packet.bytes, .iov_len = packet.length};
      messages[filled].msg_hdr.msg_name = &destinations[filled];
      messages[filled].msg_hdr.msg_namelen = name_length;
      messages[filled].msg_hdr.msg_iov = &parts[filled];
      messages[filled].msg_hdr.msg_iovlen = 1;
      filled++;
    }
    refused += send_batch(fd, messages, filled, &patience);
  }
  return make_int(env, refused);
}

/* Where a datagram goes and where from; addresses are four words in host order, of which IPv4 uses the first. */
struct ends {
  uint32_t peer[4], peer_port, local[4];
};
#define ENDS_NUMBERS (sizeof(struct ends) / sizeof(uint32_t))

union pktinfo_control {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void add_pktinfo(struct msghdr *header, union pktinfo_control *space, int level, int type, const void *info,
                        size_t length) {
  header->msg_control = space;
  header->msg_controllen = CMSG_SPACE(length);
  struct cmsghdr *control = CMSG_FIRSTHDR(header);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(length);
  memcpy(CMSG_DATA(control), info, length);
}

static void words_to_ipv6(const uint32_t *words, struct in6_addr *address) {
  for (int i = 0; i < 4; i++) {
    uint32_t word = htonl(words[i]);
    memcpy(address->s6_addr + 4 * i, &word, sizeof word);
  }
}

/* Fills in the address of a message, and where it comes from: all zero is the kernel's choice. */
static void address_message(struct msghdr *header, struct sockaddr_storage *peer, union pktinfo_control *space,
                            const struct ends *ends, int family) {
  memset(peer, 0, sizeof *peer);
  header->msg_name = peer;
  if (family == 6) {
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)peer;
    struct in6_pktinfo info = {.ipi6_ifindex = 0};
    to->sin6_family = AF_INET6;
    to->sin6_port = htons((uint16_t)ends->peer_port);
    words_to_ipv6(ends->peer, &to->sin6_addr);
    words_to_ipv6(ends->local, &info.ipi6_addr);
    header->msg_namelen = sizeof *to;
    add_pktinfo(header, space, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  } else {
    struct sockaddr_in *to = (struct sockaddr_in *)peer;
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(ends->local[0])};
    to->sin_family = AF_INET;
    to->sin_port = htons((uint16_t)ends->peer_port);
    to->sin_addr.s_addr = htonl(ends->peer[0]);
    header->msg_namelen = sizeof *to;
    add_pktinfo(header, space, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  }
}

/*
 * sendUdp(fd, family, payloads, ends): how many the kernel refused. `ends` is a Uint32Array of nine numbers a payload:
 * four of the peer's address, its port, four of the local address.
 */
napi_value send_udp(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd, family, patience = 5;
  uint32_t count, refused = 0;
  napi_typedarray_type type;
  size_t number_count;
  void *numbers;
  if (!get_arguments(env, info, 4, arguments) || !get_int(env, arguments[0], &fd) ||
      !get_int(env, arguments[1], &family))
    return NULL;
  if (napi_get_array_length(env, arguments[2], &count) != napi_ok ||
      napi_get_typedarray_info(env, arguments[3], &type, &number_count, &numbers, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || number_count < (size_t)count * ENDS_NUMBERS) {
    napi_throw_type_error(env, NULL, "expected an array of payloads and a Uint32Array of their addresses");
    return NULL;
  }
  const struct ends *ends = numbers;
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec parts[BATCH_PACKETS];
  struct sockaddr_storage peers[BATCH_PACKETS];
  union pktinfo_control controls[BATCH_PACKETS];
  memset(messages, 0, sizeof messages);
  memset(controls, 0, sizeof controls);
  for (uint32_t i = 0; i < count;) {
    unsigned filled = 0;
    for (; i < count && filled < BATCH_PACKETS; i++, filled++) {
      struct packet payload;
      if (!get_packet(env, arguments[2], i, &payload)) return NULL;
      struct msghdr *header = &messages[filled].msg_hdr;
      parts[filled] = (struct iovec){.iov_base = payload.bytes, .iov_len = payload.length};
      header->msg_iov = &parts[filled];
      header->msg_iovlen = 1;
      address_message(header, &peers[filled], &controls[filled], &ends[i], family);
    }
    refused += send_batch(fd, messages, filled, &patience);
  }
  return make_int(env, refused);
}
