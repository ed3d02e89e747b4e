{
  "targets": [
    {
      "target_name": "ipseckit_native",
      "sources": ["addon.c", "common.c", "reader.c", "route.c", "sockets.c", "tun.c"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
