/* Watching devices: every frame that crosses one, or the IP packets of IPsec on all of them, in both directions. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BUFFER_BYTES (16 * 1024 * 1024)

static void enlarge_buffer(int fd) {
  int buffer = RECEIVE_BUFFER_BYTES;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
}

/* Binds `fd` to a device, 0 for all, and returns it; closes it and throws when that fails. */
static napi_value bind_to(napi_env env, int fd, unsigned int device) {
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)device};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return make_int(env, fd);
  int error = errno;
  close(fd);
  return throw_errno(env, "bind packet socket", error);
}

/* Reads the name of a device; throws and returns 0 when there is none. */
static int get_device(napi_env env, napi_value value, unsigned int *index) {
  char device[IF_NAMESIZE + 1];
  size_t length;
  if (napi_get_value_string_utf8(env, value, device, sizeof device, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "the device's name must be a string");
    return 0;
  }
  *index = length == 0 ? 0 : if_nametoindex(device);
  if (length > 0 && *index == 0) {
    (void)throw_errno(env, "if_nametoindex", errno);
    return 0;
  }
  return 1;
}

/* Steps of the packet filter below, in order. */
enum step {
  LOAD_VERSION, SHIFT_VERSION, IS_V6, IS_V4,
  V4_PROTOCOL, V4_ESP, V4_AH, V4_UDP, V4_FRAGMENT, V4_LATER, V4_PORTS, V4_GO,
  V6_NEXT, V6_ESP, V6_AH, V6_FRAGMENT, V6_UDP, V6_PORTS,
  SOURCE, SOURCE_IKE, SOURCE_NAT, DESTINATION, DESTINATION_IKE, DESTINATION_NAT,
  DROP, PASS, STEPS
};

#define DO(code, value) BPF_STMT(code, value)
#define IF(here, test, value, yes, no) \
  [here] = BPF_JUMP(BPF_JMP | (test) | BPF_K, value, (yes) - (here)-1, (no) - (here)-1)

/*
 * Passes what IPsec says on the wire, seen from the IP header on: ESP, AH, UDP from or to ports 500 and 4500, later
 * fragments of UDP, which have no ports, and fragments of IPv6.
 */
static struct sock_filter ipsec_only[STEPS] = {
    [LOAD_VERSION] = DO(BPF_LD | BPF_B | BPF_ABS, 0),
    [SHIFT_VERSION] = DO(BPF_ALU | BPF_RSH | BPF_K, 4),
    IF(IS_V6, BPF_JEQ, 6, V6_NEXT, IS_V4),
    IF(IS_V4, BPF_JEQ, 4, V4_PROTOCOL, DROP),
    [V4_PROTOCOL] = DO(BPF_LD | BPF_B | BPF_ABS, 9),
    IF(V4_ESP, BPF_JEQ, IPPROTO_ESP, PASS, V4_AH),
    IF(V4_AH, BPF_JEQ, IPPROTO_AH, PASS, V4_UDP),
    IF(V4_UDP, BPF_JEQ, IPPROTO_UDP, V4_FRAGMENT, DROP),
    [V4_FRAGMENT] = DO(BPF_LD | BPF_H | BPF_ABS, 6),
    IF(V4_LATER, BPF_JSET, 0x1fff, PASS, V4_PORTS),
    [V4_PORTS] = DO(BPF_LDX | BPF_B | BPF_MSH, 0),
    [V4_GO] = DO(BPF_JMP | BPF_JA, SOURCE - V4_GO - 1),
    [V6_NEXT] = DO(BPF_LD | BPF_B | BPF_ABS, 6),
    IF(V6_ESP, BPF_JEQ, IPPROTO_ESP, PASS, V6_AH),
    IF(V6_AH, BPF_JEQ, IPPROTO_AH, PASS, V6_FRAGMENT),
    IF(V6_FRAGMENT, BPF_JEQ, IPPROTO_FRAGMENT, PASS, V6_UDP),
    IF(V6_UDP, BPF_JEQ, IPPROTO_UDP, V6_PORTS, DROP),
    [V6_PORTS] = DO(BPF_LDX | BPF_IMM, 40),
    [SOURCE] = DO(BPF_LD | BPF_H | BPF_IND, 0),
    IF(SOURCE_IKE, BPF_JEQ, 500, PASS, SOURCE_NAT),
    IF(SOURCE_NAT, BPF_JEQ, 4500, PASS, DESTINATION),
    [DESTINATION] = DO(BPF_LD | BPF_H | BPF_IND, 2),
    IF(DESTINATION_IKE, BPF_JEQ, 500, PASS, DESTINATION_NAT),
    IF(DESTINATION_NAT, BPF_JEQ, 4500, PASS, DROP),
    [DROP] = DO(BPF_RET | BPF_K, 0),
    [PASS] = DO(BPF_RET | BPF_K, 0xffffffff),
};

/*
 * openWatch(device, ipsecOnly): a descriptor to be read as watched packets: IP packets with the time the kernel saw
 * them, of one device or (with an empty name) of all.
 */
napi_value open_watch(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  unsigned int device;
  int ipsec, on = 1;
  if (!get_arguments(env, info, 2, arguments) || !get_device(env, arguments[0], &device) ||
      !get_int(env, arguments[1], &ipsec))
    return NULL;
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, "packet socket", errno);
  enlarge_buffer(fd);
  struct sock_fprog program = {.len = STEPS, .filter = ipsec_only};
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      (ipsec && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)) {
    int error = errno;
    close(fd);
    return throw_errno(env, "setsockopt", error);
  }
  return bind_to(env, fd, device);
}

/* deviceName(index): the name of a device, or an empty one when there is none (any more). */
napi_value device_name(napi_env env, napi_callback_info info) {
  napi_value arguments[1], result;
  char name[IF_NAMESIZE] = "";
  int index;
  if (!get_arguments(env, info, 1, arguments) || !get_int(env, arguments[0], &index)) return NULL;
  if (if_indextoname((unsigned int)index, name) == NULL) name[0] = 0;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
  return result;
}

/* openCapture(device): a descriptor to be read as raw packets, each one frame from its link layer header on. */
napi_value open_capture(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  unsigned int device;
  if (!get_arguments(env, info, 1, arguments) || !get_device(env, arguments[0], &device)) return NULL;
  if (device == 0) return throw_errno(env, "if_nametoindex", ENODEV);
  /* Without a protocol until it is bound: nothing of other devices is ever queued. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, "packet socket", errno);
  enlarge_buffer(fd);
  return bind_to(env, fd, device);
}
