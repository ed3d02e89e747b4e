/* What every file of the addon shares: errors, arguments, and the vectors of packets that JavaScript hands over. */
#ifndef IPSECKIT_COMMON_H
#define IPSECKIT_COMMON_H

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

/* Packets that one system call, or one call into JavaScript, carries at most. */
#define BATCH_PACKETS 64
/* Room for the longest IP packet. */
#define PACKET_BYTES 65536
/* A reader keeps a slot for each packet, a bit longer than one so that their first lines do not share a cache set. */
#define SLOT_BYTES (PACKET_BYTES + 320)
#define SLAB_BYTES (BATCH_PACKETS * SLOT_BYTES)

/* A packet of JavaScript's, valid until the call that got it returns. */
struct packet {
  uint8_t *bytes;
  size_t length;
};

/*
 * What a reader's index tells of each packet. The rest is of UDP only; addresses are four words in host order, of which IPv4 uses
 * the first. Of a watched packet they begin with the time in seconds and its nanoseconds, and the number of the device with
 * the lowest bit set when it leaves.
 */
struct entry {
  uint32_t offset, length, peer_address[4], peer_port, local_address[4];
};

/* Throws an Error with `code` (`EADDRINUSE`) and `syscall`; returns NULL for the caller to return. */
napi_value throw_errno(napi_env env, const char *syscall, int error);

/* Reads exactly `count` arguments; throws a TypeError and returns 0 when there are fewer. */
int get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);

/* Each throws a TypeError and returns 0 when the value is of another type. */
int get_int(napi_env env, napi_value value, int *result);
int get_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length);
/* Element `index` of an array of Uint8Arrays. */
int get_packet(napi_env env, napi_value array, uint32_t index, struct packet *packet);

napi_value make_int(napi_env env, int64_t value);

/*
 * Waits until `fd` takes output again, for a millisecond at most, and at most `*patience` times; returns 0 when
 * patience is used up. Keeps a full device from holding up the event loop.
 */
int wait_writable(int fd, int *patience);

/* The functions that JavaScript sees, one file each. */
napi_value open_tun(napi_env env, napi_callback_info info);
napi_value write_tun(napi_env env, napi_callback_info info);
napi_value open_raw_receiver(napi_env env, napi_callback_info info);
napi_value open_raw_sender(napi_env env, napi_callback_info info);
napi_value open_udp(napi_env env, napi_callback_info info);
napi_value send_raw(napi_env env, napi_callback_info info);
napi_value send_udp(napi_env env, napi_callback_info info);
napi_value start_reader(napi_env env, napi_callback_info info);
napi_value stop_reader(napi_env env, napi_callback_info info);
napi_value find_route(napi_env env, napi_callback_info info);
napi_value open_nftables_watch(napi_env env, napi_callback_info info);
napi_value open_capture(napi_env env, napi_callback_info info);
napi_value open_watch(napi_env env, napi_callback_info info);
napi_value watch_drops(napi_env env, napi_callback_info info);
napi_value device_name(napi_env env, napi_callback_info info);
napi_value open_netlink(napi_env env, napi_callback_info info);
napi_value netlink_exchange(napi_env env, napi_callback_info info);
napi_value set_socket_option(napi_env env, napi_callback_info info);

#endif
