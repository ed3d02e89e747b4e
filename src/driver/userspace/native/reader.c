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
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum kind { KIND_TUN = 0, KIND_RAW = 1, KIND_UDP = 2, KIND_WATCH = 3 };

/*
 * What the index tells of each packet; addresses in host order, and only of UDP. Of a watched packet the last three are
 * the time in seconds and its nanoseconds, and the number of the device with the lowest bit set when it leaves.
 */
struct entry {
  uint32_t offset, length, peer_address, peer_port, local_address;
};

/* Where a packet came from, whatever its socket. */
union origin {
  struct sockaddr_in udp;
  struct sockaddr_ll link;
};

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
  napi_ref on_packets, on_failure, on_path_mtu, slab_reference, index_reference;
  struct handle *handle;
  int fd, closed, empty_errors;
  enum kind kind;
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
  napi_ref references[] = {reader->on_packets, reader->on_failure, reader->on_path_mtu, reader->slab_reference,
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

static uint32_t local_address(struct msghdr *header) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO) continue;
    struct in_pktinfo pktinfo;
    memcpy(&pktinfo, CMSG_DATA(c), sizeof pktinfo);
    return ntohl(pktinfo.ipi_addr.s_addr);
  }
  return 0;
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
  entry->peer_address = (uint32_t)time.tv_sec;
  entry->peer_port = (uint32_t)time.tv_nsec;
  entry->local_address = (uint32_t)link->sll_ifindex << 1 | (link->sll_pkttype == PACKET_OUTGOING);
}

/* One packet a slot. Returns how many, or a negative errno when the socket is of no use any more. */
static int read_socket(struct reader *reader) {
  struct mmsghdr messages[BATCH_PACKETS];
  struct iovec parts[BATCH_PACKETS];
  union origin peers[BATCH_PACKETS];
  char controls[BATCH_PACKETS][CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct timespec))]
      __attribute__((aligned(8)));
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH_PACKETS; i++) {
    parts[i] = (struct iovec){.iov_base = reader->slab + (size_t)i * SLOT_BYTES, .iov_len = PACKET_BYTES};
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
  if (count < 0) return errno == EBADF || errno == ENOTSOCK ? -errno : 0;
  for (int i = 0; i < count; i++) {
    struct entry *entry = &reader->index[i];
    *entry = (struct entry){.offset = (uint32_t)i * SLOT_BYTES, .length = messages[i].msg_len};
    if (reader->kind == KIND_WATCH) describe_watched(entry, &messages[i].msg_hdr, &peers[i].link);
    if (reader->kind != KIND_UDP) continue;
    entry->peer_address = ntohl(peers[i].udp.sin_addr.s_addr);
    entry->peer_port = ntohs(peers[i].udp.sin_port);
    entry->local_address = local_address(&messages[i].msg_hdr);
  }
  return count;
}

/* Takes one report off the error queue; returns 0 when there is none. */
static int read_error(struct reader *reader) {
  uint8_t quoted[64];
  char control[512] __attribute__((aligned(8)));
  struct sockaddr_in destination = {0};
  struct iovec part = {.iov_base = quoted, .iov_len = sizeof quoted};
  struct msghdr header = {.msg_name = &destination,
                          .msg_namelen = sizeof destination,
                          .msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof control};
  if (recvmsg(reader->fd, &header, MSG_ERRQUEUE) < 0) return 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR) continue;
    struct sock_extended_err error;
    memcpy(&error, CMSG_DATA(c), sizeof error);
    if (error.ee_origin != SO_EE_ORIGIN_ICMP || error.ee_type != ICMP_DEST_UNREACH ||
        error.ee_code != ICMP_FRAG_NEEDED)
      continue;
    napi_value arguments[] = {make_int(reader->env, ntohl(destination.sin_addr.s_addr)),
                              make_int(reader->env, error.ee_info)};
    call(reader, reader->on_path_mtu, 2, arguments);
  }
  return 1;
}

/* libuv stops a poll that reports an error; an ICMP report on a socket is no reason to stop. */
static void recover(struct reader *reader) {
  int reports = 0, error = 0;
  socklen_t length = sizeof error;
  if (reader->kind != KIND_TUN) {
    while (!reader->closed && reports < BATCH_PACKETS && read_error(reader)) reports++;
    if (reader->closed) return;
    getsockopt(reader->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  }
  reader->empty_errors = reports > 0 || error != 0 ? 0 : reader->empty_errors + 1;
  if (reader->empty_errors > MAX_EMPTY_ERRORS) {
    fail(reader, EIO);
    return;
  }
  uv_poll_start(&reader->poll, UV_READABLE, on_poll);
}

static void deliver(struct reader *reader, int count) {
  napi_value argument = make_int(reader->env, count);
  reader->empty_errors = 0;
  call(reader, reader->on_packets, 1, &argument);
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
 * startReader(fd, kind, slab, index, onPackets(count), onFailure(code), onPathMtu(destination, mtu)): takes over `fd`
 * and returns a handle for `stopReader`. `slab` has `slabBytes` bytes; `index` five numbers a packet: offset, length,
 * peer address, peer port, local address.
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
      slab_length < SLAB_BYTES || kind < KIND_TUN || kind > KIND_WATCH) {
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
  napi_create_reference(env, arguments[2], 1, &reader->slab_reference);
  napi_create_reference(env, arguments[3], 1, &reader->index_reference);
  napi_create_reference(env, arguments[4], 1, &reader->on_packets);
  napi_create_reference(env, arguments[5], 1, &reader->on_failure);
  napi_create_reference(env, arguments[6], 1, &reader->on_path_mtu);
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
