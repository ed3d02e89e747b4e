/*
 * TCP segmentation between us and the kernel. The TUN device hands us, and takes, runs of segments as one long packet
 * with a virtio header; these functions cut such packets up and put segments together. Everything else of the driver
 * sees ordinary packets. Pure: no system calls.
 */
#ifndef IPSECKIT_SEGMENTS_H
#define IPSECKIT_SEGMENTS_H

#include "common.h"

#include <linux/virtio_net.h>
#include <sys/uio.h>

/* A packet as read from the TUN device, of which `done` bytes of payload have been taken. */
struct long_packet {
  struct virtio_net_hdr virtio;
  size_t length, done;
  uint8_t bytes[PACKET_BYTES];
};

/*
 * Writes the next ordinary packet of `packet` to `into` (PACKET_BYTES of room) and returns its length; 0 when all have
 * been taken, and for a packet whose headers make no sense.
 */
size_t next_segment(struct long_packet *packet, uint8_t *into);

/* A run of TCP segments that go to the kernel as one packet, growing segment by segment. */
struct segment_run {
  struct virtio_net_hdr virtio;
  struct packet first;
  uint8_t header[120] __attribute__((aligned(4))); /* IP and TCP header of the whole */
  size_t header_length, payload_length, segment_length;
  uint32_t next_sequence;
  unsigned count;
  int closed; /* its last segment must stay the last */
  struct iovec parts[2 + BATCH_PACKETS];
};

/* Starts a run with a packet, which may be any: a run of one is written as it is. */
void start_run(struct segment_run *run, const struct packet *packet);

/* Adds a packet if it is the run's next segment; returns 0 when it is not. */
int extend_run(struct segment_run *run, const struct packet *packet);

/* Finishes the headers; returns how many of `parts` to write. */
int finish_run(struct segment_run *run);

#endif
