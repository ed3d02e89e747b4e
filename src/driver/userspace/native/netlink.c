/* Netlink sockets: requests that wait for their answer, and events; and the options that other sockets want set. */
#include "common.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES 65536

/*
 * openNetlink(protocol, groups): a socket of a netlink protocol. Without groups, for `netlinkExchange`; with a mask of
 * them (1 << (group - 1)), for a reader of raw packets.
 */
napi_value open_netlink(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int protocol, groups;
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &protocol) ||
      !get_int(env, arguments[1], &groups))
    return NULL;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups != 0 ? SOCK_NONBLOCK : 0), protocol);
  if (fd < 0) return throw_errno(env, "netlink socket", errno);
  /* The kernel answers at once: whoever waits longer waits for something that does not come. */
  struct timeval patience = {.tv_sec = 5};
  int buffer_bytes = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = (uint32_t)groups};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return make_int(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, "netlink membership", error);
}

/* The sequence number of the last of the messages in `bytes`. */
static uint32_t last_sequence(const uint8_t *bytes, size_t length) {
  uint32_t sequence = 0;
  while (length >= sizeof(struct nlmsghdr)) {
    struct nlmsghdr header;
    memcpy(&header, bytes, sizeof header);
    size_t size = NLMSG_ALIGN(header.nlmsg_len);
    sequence = header.nlmsg_seq;
    if (size < sizeof header || size > length) break;
    bytes += size;
    length -= size;
  }
  return sequence;
}

/* Whether the messages in `bytes` end the answer to the request with that number. */
static int is_complete(const uint8_t *bytes, size_t length, uint32_t sequence) {
  while (length >= sizeof(struct nlmsghdr)) {
    struct nlmsghdr header;
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_seq == sequence && (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE))
      return 1;
    size_t size = NLMSG_ALIGN(header.nlmsg_len);
    if (size < sizeof header || size > length) return 0;
    bytes += size;
    length -= size;
  }
  return 0;
}

/* Appends what arrives until the answer is complete; returns 0 or an errno. */
static int receive_answer(int fd, uint32_t sequence, uint8_t **answer, size_t *length) {
  size_t room = 0;
  for (;;) {
    if (room - *length < ANSWER_BYTES) {
      room = room * 2 + ANSWER_BYTES;
      uint8_t *larger = realloc(*answer, room);
      if (larger == NULL) return ENOMEM;
      *answer = larger;
    }
    ssize_t received = recv(fd, *answer + *length, room - *length, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return errno;
    size_t start = *length;
    *length += (size_t)received;
    if (is_complete(*answer + start, (size_t)received, sequence)) return 0;
  }
}

/* netlinkExchange(fd, requests): sends requests, numbered upwards, and returns all the kernel answered. */
napi_value netlink_exchange(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  int fd;
  uint8_t *requests, *answer = NULL;
  size_t length, answered = 0;
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &fd) ||
      !get_bytes(env, arguments[1], &requests, &length))
    return NULL;
  if (send(fd, requests, length, 0) < 0) return throw_errno(env, "netlink request", errno);
  int error = receive_answer(fd, last_sequence(requests, length), &answer, &answered);
  if (error != 0)
    throw_errno(env, "netlink answer", error);
  else if (napi_create_buffer_copy(env, answered, answer, NULL, &result) != napi_ok)
    result = NULL;
  free(answer);
  return result;
}

/* setSocketOption(fd, level, option, value): `setsockopt`, with the value's bytes as they are. */
napi_value set_socket_option(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd, level, option;
  uint8_t *value;
  size_t length;
  if (!get_arguments(env, info, 4, arguments) || !get_int(env, arguments[0], &fd) ||
      !get_int(env, arguments[1], &level) || !get_int(env, arguments[2], &option) ||
      !get_bytes(env, arguments[3], &value, &length))
    return NULL;
  if (setsockopt(fd, level, option, value, (socklen_t)length) < 0) return throw_errno(env, "setsockopt", errno);
  return NULL;
}
