#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

napi_value throw_errno(napi_env env, const char *syscall, int error) {
  char text[160];
  snprintf(text, sizeof text, "%s: %s", syscall, strerror(error));
  napi_value code, message, name, exception;
  napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name);
  if (napi_create_error(env, code, message, &exception) != napi_ok) return NULL;
  napi_set_named_property(env, exception, "syscall", name);
  napi_throw(env, exception);
  return NULL;
}

int get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok) return 0;
  if (given >= count) return 1;
  napi_throw_type_error(env, NULL, "too few arguments");
  return 0;
}

int get_int(napi_env env, napi_value value, int *result) {
  int32_t number;
  if (napi_get_value_int32(env, value, &number) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected a number");
    return 0;
  }
  *result = number;
  return 1;
}

int get_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) == napi_ok &&
      type == napi_uint8_array) {
    *bytes = data;
    return 1;
  }
  napi_throw_type_error(env, NULL, "expected a Uint8Array");
  return 0;
}

int get_packet(napi_env env, napi_value array, uint32_t index, struct packet *packet) {
  napi_value element;
  if (napi_get_element(env, array, index, &element) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an array of packets");
    return 0;
  }
  return get_bytes(env, element, &packet->bytes, &packet->length);
}

napi_value make_int(napi_env env, int64_t value) {
  napi_value result;
  return napi_create_int64(env, value, &result) == napi_ok ? result : NULL;
}

int wait_writable(int fd, int *patience) {
  if ((*patience)-- <= 0) return 0;
  struct pollfd wanted = {.fd = fd, .events = POLLOUT};
  poll(&wanted, 1, 1);
  return 1;
}
