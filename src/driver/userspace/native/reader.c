/*
 * Reading in batches: when a descriptor has packets, up to BATCH_PACKETS of them are read into memory that JavaScript
 * allocated, and JavaScript is called once for all of them. Every batch ends in the event loop, so no descriptor
 * starves another.
 */
#include "segments.h"

#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum kind { KIND_TUN = 0, KIND_RAW = 1, KIND_UDP = 2, KIND_WATCH = 3, KIND_RAW6 = 4, KIND_UDP6 = 5 };

/* Where a packet came from, whatever its socket. */
union origin {
  struct sockaddr_storage any;
  struct sockaddr_ll link;
};

/* Room before the payload of a raw IPv6 packet, for its header and extension headers. */
#define IPV6_HEADROOM 256
/* Room for what the kernel tells of a packet. */
#define CONTROL_BYTES 512

/* Readiness reports without anything to read before a descriptor is given up. */
#define MAX_EMPTY_ERRORS 32

struct reader;

/* What JavaScript holds; outlives the reader when JavaScript is slow to let go. */
struct handle {
  struct reader *reader;
};

struct reader {
  uv_poll_t poll;
  napi_env env;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  napi_ref on_packets, on_failure, on_icmp_error, slab_reference, index_reference;
  struct handle *handle;
  int fd, closed, empty_errors;
  enum kind kind;
  uint8_t protocol; /* of a raw IPv6 socket */
  uint8_t *slab;
  struct entry *index;
  struct long_packet *long_packet; /* TUN only: what has been read, but not all delivered */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_closed(uv_handle_t *poll) {
  struct reader *reader = poll->data;
  napi_remove_async_cleanup_hook(reader->cleanup);
  free(reader->long_packet);
  free(reader);
}

static void close_reader(struct reader *reader) {
  if (reader->closed) return;
  reader->closed = 1;
  if (reader->handle != NULL) reader->handle->reader = NULL;
  uv_poll_stop(&reader->poll);
  close(reader->fd);
  napi_ref references[] = {reader->on_packets, reader->on_failure, reader->on_icmp_error, reader->slab_reference,
                           reader->index_reference};
  for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
    napi_delete_reference(reader->env, references[i]);
  napi_async_destroy(reader->env, reader->context);
  uv_close((uv_handle_t *)&reader->poll, on_closed);
}

static void on_environment_cleanup(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  close_reader(data);
}

/* Calls a function of JavaScript's; what it throws becomes an uncaught exception, as in any event handler. */
static void call(struct reader *reader, napi_ref function, size_t count, const napi_value *arguments) {
  napi_value callee, global, exception;
  napi_get_reference_value(reader->env, function, &callee);
  napi_get_global(reader->env, &global);
  if (napi_make_callback(reader->env, reader->context, global, callee, count, arguments, NULL) !=
          napi_pending_exception)
    return;
  napi_get_and_clear_last_exception(reader->env, &exception);
  napi_fatal_exception(reader->env, exception);
}

static void fail(struct reader *reader, int error) {
  napi_value code;
  napi_create_string_utf8(reader->env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
  uv_poll_stop(&reader->poll);
  call(reader, reader->on_failure, 1, &code);
}

/* Reads the next packet off the device, which may be a long one; returns 0 or an errno. */
static int read_long_packet(struct reader *reader) {
  struct long_packet *packet = reader->long_packet;
  struct iovec parts[] = {{.iov_base = &packet->virtio, .iov_len = sizeof packet->virtio},
                          {.iov_base = packet->bytes, .iov_len = sizeof packet->bytes}};
  ssize_t length;
  do length = readv(reader->fd, parts, 2);
  while (length < 0 && errno == EINTR);
  packet->done = 0;
  packet->length = length < (ssize_t)sizeof packet->virtio ? 0 : (size_t)length - sizeof packet->virtio;
  return length < 0 ? errno : 0;
}

/*
 * Packets lie one behind the other. Returns how many, or a negative errno when the device has gone. With `rest_only`, only
 * what is left of a long packet that was read before.
 */
static int read_tun(struct reader *reader, int rest_only) {
  uint32_t offset = 0;
  int count = 0;
  while (count < BATCH_PACKETS && offset + PACKET_BYTES <= SLAB_BYTES) {
    size_t length = next_segment(reader->long_packet, reader->slab + offset);
    if (length == 0) {
      if (rest_only) break;
      int error = read_long_packet(reader);
      if (error == 0) continue;
      if (error == EAGAIN || error == EIO || count > 0) break;
      return -error;
    }
    reader->index[count++] = (struct entry){.offset = offset, .length = (uint32_t)length};
    offset += ((uint32_t)length + 63) & ~63u;
  }
  return count;
}

static void ipv6_to_words(const struct in6_addr *address, uint32_t *words) {
  for (int i = 0; i < 4; i++) {
    memcpy(&words[i], address->s6_addr + 4 * i, sizeof words[i]);
    words[i] = ntohl(words[i]);
  }
}

/* What a control message carries, if it is of that kind; `length` bytes of it. */
static int read_control(struct cmsghdr *control, int level, int type, void *into, size_t length) {
  if (control->cmsg_level != level || control->cmsg_type != type || control->cmsg_len < CMSG_LEN(length)) return 0;
  memcpy(into, CMSG_DATA(control), length);
  return 1;
}

static void read_peer(const struct msghdr *header, struct entry *entry) {
  const struct sockaddr_storage *peer = header->msg_name;
  if (peer->ss_family == AF_INET6) {
    const struct sockaddr_in6 *from = (const struct sockaddr_in6 *)peer;
    ipv6_to_words(&from->sin6_addr, entry->peer_address);
    entry->peer_port = ntohs(from->sin6_port);
  } else {
    const struct sockaddr_in *from = (const struct sockaddr_in *)peer;
    entry->peer_address[0] = ntohl(from->sin_addr.s_addr);
    entry->peer_port = ntohs(from->sin_port);
  }
}

static void read_ends(struct msghdr *header, struct entry *entry) {
  read_peer(header, entry);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    struct in_pktinfo info;
    struct in6_pktinfo info6;
    if (read_control(c, IPPROTO_IP, IP_PKTINFO, &info, sizeof info))
      entry->local_address[0] = ntohl(info.ipi_addr.s_addr);
    if (read_control(c, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof info6))
      ipv6_to_words(&info6.ipi6_addr, entry->local_address);
  }
}

static int is_extension_header(const struct cmsghdr *control) {
  return control->cmsg_level == IPPROTO_IPV6 &&
         (control->cmsg_type == IPV6_HOPOPTS || control->cmsg_type == IPV6_RTHDR || control->cmsg_type == IPV6_DSTOPTS);
}

static uint8_t extension_protocol(int type) {
  return type == IPV6_HOPOPTS ? IPPROTO_HOPOPTS : type == IPV6_RTHDR ? IPPROTO_ROUTING : IPPROTO_DSTOPTS;
}

/*
 * Puts the header back before the payload of a raw IPv6 packet at `payload`, from what the kernel tells of it: it has put
 * fragments together, and lists the extension headers in order. Returns how much was put there; 0 when there is no room.
 */
static size_t write_ipv6_header(struct msghdr *header, uint8_t protocol, uint8_t *payload, size_t length) {
  const struct sockaddr_in6 *from = header->msg_name;
  struct in6_pktinfo info = {.ipi6_ifindex = 0};
  int hop_limit = 64, traffic_class = 0;
  size_t extensions = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    read_control(c, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    read_control(c, IPPROTO_IPV6, IPV6_HOPLIMIT, &hop_limit, sizeof hop_limit);
    read_control(c, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
    if (is_extension_header(c)) extensions += c->cmsg_len - CMSG_LEN(0);
  }
  size_t total = sizeof(struct ip6_hdr) + extensions;
  if ((header->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 || total > IPV6_HEADROOM || extensions + length > 65535)
    return 0;
  uint8_t *start = payload - total, *next = start + sizeof(struct ip6_hdr);
  struct ip6_hdr ip = {.ip6_flow = htonl(0x60000000u | (uint32_t)(traffic_class & 255) << 20),
                       .ip6_plen = htons((uint16_t)(extensions + length)),
                       .ip6_hlim = (uint8_t)hop_limit,
                       .ip6_src = from->sin6_addr,
                       .ip6_dst = info.ipi6_addr};
  memcpy(start, &ip, sizeof ip);
  uint8_t *named_at = start + offsetof(struct ip6_hdr, ip6_nxt);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    if (!is_extension_header(c)) continue;
    size_t bytes = c->cmsg_len - CMSG_LEN(0);
    memcpy(next, CMSG_DATA(c), bytes);
    *named_at = extension_protocol(c->cmsg_type);
    named_at = next;
    next += bytes;
  }
  *named_at = protocol;
  return total;
}

static struct timespec kernel_time(struct msghdr *header) {
  struct timespec time = {0};
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
      memcpy(&time, CMSG_DATA(c), sizeof time);
  if (time.tv_sec == 0) clock_gettime(CLOCK_REALTIME, &time);
  return time;
}

static void describe_watched(struct entry *entry, struct msghdr *header, const struct sockaddr_ll *link) {
  struct timespec time = kernel_time(header);
  entry->peer_address[0] = (uint32_t)time.tv_sec;
  entry->peer_port = (uint32_t)time.tv_nsec;
  entry->local_address[0] = (uint32_t)link->sll_ifindex << 1 | (link->sll_pkttype == PACKET_OUTGOING);
}

static void deliver(struct reader *reader, int count) {
  napi_value argument = make_int(reader->env, count);
  reader->empty_errors = 0;
  call(reader, reader->on_packets, 1, &argument);
}

/* A netlink socket whose messages came faster than they were read says so once. */
static void tell_lost(struct reader *reader) {
  if (reader->kind == KIND_RAW) deliver(reader, 0);
}

/* One packet a slot. Returns how many, or a negative errno when the socket is of no use any more. */
static int read_socket(struct reader *reader) {
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec parts[BATCH_PACKETS];
  union origin peers[BATCH_PACKETS];
  char controls[BATCH_PACKETS][CONTROL_BYTES] __attribute__((aligned(8)));
  size_t headroom = reader->kind == KIND_RAW6 ? IPV6_HEADROOM : 0;
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH_PACKETS; i++) {
    uint8_t *slot = reader->slab + (size_t)i * SLOT_BYTES;
    parts[i] = (struct iovec){.iov_base = slot + headroom, .iov_len = PACKET_BYTES};
    struct msghdr *header = &messages[i].msg_hdr;
    header->msg_iov = &parts[i];
    header->msg_iovlen = 1;
    if (reader->kind == KIND_RAW) continue;
    header->msg_name = &peers[i];
    header->msg_namelen = sizeof peers[i];
    header->msg_control = controls[i];
    header->msg_controllen = sizeof controls[i];
  }
  int count = recvmmsg(reader->fd, messages, BATCH_PACKETS, 0, NULL);
  if (count < 0 && errno == ENOBUFS) tell_lost(reader);
  else if (count < 0) return errno == EBADF || errno == ENOTSOCK ? -errno : 0;
  for (int i = 0; i < count; i++) {
    struct entry *entry = &reader->index[i];
    *entry = (struct entry){.offset = (uint32_t)i * SLOT_BYTES, .length = messages[i].msg_len};
    if (reader->kind == KIND_WATCH) describe_watched(entry, &messages[i].msg_hdr, &peers[i].link);
    if (reader->kind == KIND_UDP || reader->kind == KIND_UDP6) read_ends(&messages[i].msg_hdr, entry);
    if (reader->kind == KIND_RAW6) {
      uint8_t *payload = parts[i].iov_base;
      size_t bytes = write_ipv6_header(&messages[i].msg_hdr, reader->protocol, payload, entry->length);
      /* One whose header does not fit is delivered empty, to be counted. */
      entry->offset += (uint32_t)(headroom - bytes);
      entry->length = bytes == 0 ? 0 : entry->length + (uint32_t)bytes;
    }
  }
  return count < 0 ? 0 : count;
}

/* The router or host that an ICMP error came from. */
static void read_offender(const struct sock_extended_err *error, size_t length, uint32_t *words) {
  const struct sockaddr *offender = SO_EE_OFFENDER(error);
  if (length < sizeof *error + sizeof(struct sockaddr_in)) return;
  if (offender->sa_family == AF_INET) words[0] = ntohl(((const struct sockaddr_in *)offender)->sin_addr.s_addr);
  if (offender->sa_family == AF_INET6 && length >= sizeof *error + sizeof(struct sockaddr_in6))
    ipv6_to_words(&((const struct sockaddr_in6 *)offender)->sin6_addr, words);
}

/*
 * Takes one report off the error queue; returns 0 when there is none. The first entry of the index says what the packet was
 * sent to, in place of the local address who reports, and where what is quoted of the packet lies, without its IP header.
 */
static int read_error(struct reader *reader) {
  char control[CONTROL_BYTES] __attribute__((aligned(8)));
  union origin destination = {0};
  struct iovec part = {.iov_base = reader->slab, .iov_len = SLOT_BYTES};
  struct msghdr header = {.msg_name = &destination,
                          .msg_namelen = sizeof destination,
                          .msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof control};
  ssize_t quoted = recvmsg(reader->fd, &header, MSG_ERRQUEUE);
  if (quoted < 0) return 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
    int is_error = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
    const struct sock_extended_err *error = (const struct sock_extended_err *)CMSG_DATA(c);
    size_t length = c->cmsg_len - CMSG_LEN(0);
    if (!is_error || length < sizeof *error ||
        (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6))
      continue;
    struct entry *entry = &reader->index[0];
    *entry = (struct entry){.offset = 0, .length = (uint32_t)quoted};
    read_peer(&header, entry);
    read_offender(error, length, entry->local_address);
    napi_value arguments[] = {make_int(reader->env, error->ee_type), make_int(reader->env, error->ee_code),
                              make_int(reader->env, error->ee_info)};
    call(reader, reader->on_icmp_error, 3, arguments);
  }
  return 1;
}

/* libuv stops a poll that reports an error; an ICMP report on a socket is no reason to stop. */
static void recover(struct reader *reader) {
  int reports = 0, error = 0;
  socklen_t length = sizeof error;
  if (reader->kind != KIND_TUN) {
    getsockopt(reader->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == ENOBUFS) {
      uv_poll_start(&reader->poll, UV_READABLE, on_poll);
      tell_lost(reader);
      return;
    }
    while (!reader->closed && reports < BATCH_PACKETS && read_error(reader)) reports++;
    if (reader->closed) return;
  }
  reader->empty_errors = reports > 0 || error != 0 ? 0 : reader->empty_errors + 1;
  if (reader->empty_errors > MAX_EMPTY_ERRORS) {
    fail(reader, EIO);
    return;
  }
  uv_poll_start(&reader->poll, UV_READABLE, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)events;
  struct reader *reader = poll->data;
  napi_handle_scope scope;
  if (napi_open_handle_scope(reader->env, &scope) != napi_ok) return;
  if (status < 0) recover(reader);
  int count = reader->closed ? 0 : reader->kind == KIND_TUN ? read_tun(reader, 0) : read_socket(reader);
  if (count < 0) fail(reader, -count);
  while (count > 0) {
    deliver(reader, count);
    count = reader->kind == KIND_TUN && !reader->closed ? read_tun(reader, 1) : 0;
  }
  napi_close_handle_scope(reader->env, scope);
}

static void finalize_handle(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct handle *handle = data;
  if (handle->reader != NULL) handle->reader->handle = NULL;
  free(handle);
}

/*
 * startReader(fd, kind, slab, index, onPackets(count), onFailure(code), onIcmpError(type, code, info)): takes over `fd`
 * and returns a handle for `stopReader`. `slab` has `slabBytes` bytes; `index` eleven numbers a packet: offset,
 * length, four of the peer's address, its port, four of the local address.
 */
napi_value start_reader(napi_env env, napi_callback_info info) {
  napi_value arguments[7], name, result;
  int fd, kind;
  uint8_t *slab;
  size_t slab_length, index_length;
  napi_typedarray_type type;
  void *index;
  uv_loop_t *loop;
  if (!get_arguments(env, info, 7, arguments) || !get_int(env, arguments[0], &fd) ||
      !get_int(env, arguments[1], &kind) || !get_bytes(env, arguments[2], &slab, &slab_length))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[3], &type, &index_length, &index, NULL, NULL) != napi_ok ||
      type != napi_uint32_array || index_length * 4 < BATCH_PACKETS * sizeof(struct entry) ||
      slab_length < SLAB_BYTES || kind < KIND_TUN || kind > KIND_UDP6) {
    napi_throw_type_error(env, NULL, "slab or index too small");
    return NULL;
  }
  struct reader *reader = calloc(1, sizeof *reader);
  struct handle *handle = calloc(1, sizeof *handle);
  struct long_packet *long_packet = kind == KIND_TUN ? calloc(1, sizeof *long_packet) : NULL;
  if (reader == NULL || handle == NULL || (kind == KIND_TUN && long_packet == NULL)) {
    free(reader);
    free(handle);
    free(long_packet);
    return throw_errno(env, "malloc", ENOMEM);
  }
  handle->reader = reader;
  *reader = (struct reader){.env = env, .handle = handle, .fd = fd, .kind = (enum kind)kind, .slab = slab, .index = index,
                            .long_packet = long_packet};
  napi_get_uv_event_loop(env, &loop);
  int error = uv_poll_init(loop, &reader->poll, fd);
  if (error != 0) {
    free(reader);
    free(handle);
    free(long_packet);
    return throw_errno(env, "uv_poll_init", -error);
  }
  reader->poll.data = reader;
  if (kind == KIND_RAW6) {
    int protocol = 0;
    socklen_t length = sizeof protocol;
    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
    reader->protocol = (uint8_t)protocol;
  }
  napi_create_reference(env, arguments[2], 1, &reader->slab_reference);
  napi_create_reference(env, arguments[3], 1, &reader->index_reference);
  napi_create_reference(env, arguments[4], 1, &reader->on_packets);
  napi_create_reference(env, arguments[5], 1, &reader->on_failure);
  napi_create_reference(env, arguments[6], 1, &reader->on_icmp_error);
  napi_create_string_utf8(env, "ipseckit", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &reader->context);
  napi_add_async_cleanup_hook(env, on_environment_cleanup, reader, &reader->cleanup);
  uv_poll_start(&reader->poll, UV_READABLE, on_poll);
  if (napi_create_external(env, handle, finalize_handle, NULL, &result) != napi_ok) return NULL;
  return result;
}

/* watchDrops(handle): packets the kernel threw away since the last call because we read too slowly. */
napi_value watch_drops(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  void *data;
  struct tpacket_stats statistics = {0};
  socklen_t length = sizeof statistics;
  if (!get_arguments(env, info, 1, arguments)) return NULL;
  if (napi_get_value_external(env, arguments[0], &data) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a reader");
    return NULL;
  }
  struct handle *handle = data;
  if (handle->reader != NULL)
    (void)getsockopt(handle->reader->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length);
  return make_int(env, statistics.tp_drops);
}

/* stopReader(handle): closes the descriptor; safe to call twice. */
napi_value stop_reader(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  void *data;
  if (!get_arguments(env, info, 1, arguments)) return NULL;
  if (napi_get_value_external(env, arguments[0], &data) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a reader");
    return NULL;
  }
  struct handle *handle = data;
  if (handle->reader != NULL) close_reader(handle->reader);
  return NULL;
}
