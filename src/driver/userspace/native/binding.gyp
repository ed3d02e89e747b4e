{
  "targets": [
    {
      "target_name": "ipseckit_native",
      "sources": ["addon.c", "capture.c", "common.c", "netlink.c", "reader.c", "route.c", "segments.c", "sockets.c", "tun.c", "watch.c"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-strict-aliasing"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
