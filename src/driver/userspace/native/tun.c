/* The TUN device: layer 3. TCP crosses it in long packets (segments.h), which spares a system call a segment. */
#include "segments.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* openTun(name): a file descriptor. EBUSY when another process holds a device of that name. */
napi_value open_tun(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  size_t length;
  if (!get_arguments(env, info, 1, arguments)) return NULL;
  if (napi_get_value_string_utf8(env, arguments[0], request.ifr_name, IFNAMSIZ, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a device name");
    return NULL;
  }
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, "open /dev/net/tun", errno);
  if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) {
    int error = errno;
    close(fd);
    return throw_errno(env, "TUNSETIFF", error);
  }
  return make_int(env, fd);
}

/* Writes a run; returns how many of its packets the kernel refused. */
static uint32_t write_run(int fd, struct segment_run *run, int *patience) {
  int parts = finish_run(run);
  while (writev(fd, run->parts, parts) < 0) {
    if (errno == EINTR) continue;
    if ((errno == EAGAIN || errno == ENOBUFS) && wait_writable(fd, patience)) continue;
    return run->count;
  }
  return 0;
}

/* writeTun(fd, packets): how many the kernel refused. */
napi_value write_tun(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd, patience = 5;
  uint32_t count, refused = 0;
  struct segment_run run = {.count = 0};
  if (!get_arguments(env, info, 2, arguments) || !get_int(env, arguments[0], &fd)) return NULL;
  if (napi_get_array_length(env, arguments[1], &count) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an array of packets");
    return NULL;
  }
  for (uint32_t i = 0; i < count; i++) {
    struct packet packet;
    if (!get_packet(env, arguments[1], i, &packet)) return NULL;
    if (run.count > 0 && extend_run(&run, &packet)) continue;
    if (run.count > 0) refused += write_run(fd, &run, &patience);
    start_run(&run, &packet);
  }
  if (run.count > 0) refused += write_run(fd, &run, &patience);
  return make_int(env, refused);
}
