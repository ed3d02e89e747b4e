/* Watching a device: every frame that crosses it, in both directions. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BUFFER_BYTES (16 * 1024 * 1024)

/* openCapture(device): a descriptor to be read as raw packets, each one frame from its link layer header on. */
napi_value open_capture(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  char device[IF_NAMESIZE + 1];
  size_t length;
  if (!get_arguments(env, info, 1, arguments)) return NULL;
  if (napi_get_value_string_utf8(env, arguments[0], device, sizeof device, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "the device's name must be a string");
    return NULL;
  }
  unsigned int index = if_nametoindex(device);
  if (index == 0) return throw_errno(env, "if_nametoindex", errno);
  /* Without a protocol until it is bound: nothing of other devices is ever queued. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, "packet socket", errno);
  int buffer = RECEIVE_BUFFER_BYTES;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return make_int(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, "bind packet socket", error);
}
