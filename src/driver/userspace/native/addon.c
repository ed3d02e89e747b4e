/*
 * Batched packet I/O for the user-space driver: what Node has no call for. `native.ts` declares these functions for
 * TypeScript; each is described where it is defined.
 */
#include "common.h"

#include <unistd.h>

/* closeFd(fd): for descriptors that no reader has taken over. */
static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int fd;
  if (get_arguments(env, info, 1, arguments) && get_int(env, arguments[0], &fd)) close(fd);
  return NULL;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"openTun", open_tun},
      {"writeTun", write_tun},
      {"openRawReceiver", open_raw_receiver},
      {"openRawSender", open_raw_sender},
      {"openUdp", open_udp},
      {"sendRaw", send_raw},
      {"sendUdp", send_udp},
      {"startReader", start_reader},
      {"stopReader", stop_reader},
      {"findRoute", find_route},
      {"openNftablesWatch", open_nftables_watch},
      {"openCapture", open_capture},
      {"openWatch", open_watch},
      {"watchDrops", watch_drops},
      {"deviceName", device_name},
      {"openNetlink", open_netlink},
      {"netlinkExchange", netlink_exchange},
      {"setSocketOption", set_socket_option},
      {"closeFd", close_fd},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) !=
            napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok)
      return NULL;
  }
  napi_set_named_property(env, exports, "batchPackets", make_int(env, BATCH_PACKETS));
  napi_set_named_property(env, exports, "slabBytes", make_int(env, SLAB_BYTES));
  napi_set_named_property(env, exports, "indexNumbers", make_int(env, sizeof(struct entry) / sizeof(uint32_t)));
  return exports;
}
