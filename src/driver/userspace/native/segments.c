#include "segments.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>

/* Headers at any address: a packet may begin anywhere in memory. */
typedef struct iphdr ip_header __attribute__((aligned(1)));
typedef struct tcphdr tcp_header __attribute__((aligned(1)));

enum { FIN = 0x01, PSH = 0x08, ACK = 0x10, CWR = 0x80 };
enum { FLAGS_AT = 13, CHECKSUM_AT = 16 };

/* One's complement sum (RFC 1071) of bytes, not folded, in the byte order of memory. */
static uint64_t sum_bytes(const uint8_t *bytes, size_t length, uint64_t sum) {
  uint32_t word;
  for (; length >= 4; bytes += 4, length -= 4) {
    memcpy(&word, bytes, 4);
    sum += word;
  }
  if (length > 0) {
    word = 0;
    memcpy(&word, bytes, length);
    sum += word;
  }
  return sum;
}

static uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

static uint64_t pseudo_header_sum(const ip_header *ip, size_t tcp_length) {
  return sum_bytes((const uint8_t *)&ip->saddr, 8, 0) + htons(IPPROTO_TCP) + htons((uint16_t)tcp_length);
}

static void fill_ip_checksum(ip_header *ip) {
  ip->check = 0;
  ip->check = (uint16_t)~fold(sum_bytes((const uint8_t *)ip, ip->ihl * 4u, 0));
}

/* Header lengths of a TCP packet over IPv4; 0 when it is none, or not whole. */
static int tcp_headers(const uint8_t *bytes, size_t length, size_t *ip_length, size_t *tcp_length) {
  if (length < sizeof(struct iphdr) || bytes[0] >> 4 != 4 || bytes[offsetof(struct iphdr, protocol)] != IPPROTO_TCP)
    return 0;
  *ip_length = (bytes[0] & 15) * 4u;
  if (*ip_length < sizeof(struct iphdr) || length < *ip_length + sizeof(struct tcphdr)) return 0;
  *tcp_length = (bytes[*ip_length + 12] >> 4) * 4u;
  return *tcp_length >= sizeof(struct tcphdr) && length >= *ip_length + *tcp_length;
}

/* The kernel leaves the checksum of a packet to us: the field holds the pseudo header's sum. */
static void complete_checksum(struct long_packet *packet) {
  size_t start = packet->virtio.csum_start, at = start + packet->virtio.csum_offset;
  if (start > packet->length || at + 2 > packet->length) return;
  uint16_t checksum = (uint16_t)~fold(sum_bytes(packet->bytes + start, packet->length - start, 0));
  if (checksum == 0) checksum = 0xffff; /* UDP: zero means none */
  memcpy(packet->bytes + at, &checksum, 2);
}

static size_t whole_packet(struct long_packet *packet, uint8_t *into) {
  if (packet->done > 0) return 0;
  packet->done = packet->length;
  if (packet->virtio.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) complete_checksum(packet);
  memcpy(into, packet->bytes, packet->length);
  return packet->length;
}

size_t next_segment(struct long_packet *packet, uint8_t *into) {
  size_t ip_length, tcp_length, segment = packet->virtio.gso_size;
  if (packet->virtio.gso_type == VIRTIO_NET_HDR_GSO_NONE) return whole_packet(packet, into);
  if (!tcp_headers(packet->bytes, packet->length, &ip_length, &tcp_length) || segment == 0) return 0;
  size_t headers = ip_length + tcp_length;
  size_t left = packet->length - headers - packet->done;
  if (left == 0) return 0;
  if (segment > left) segment = left;
  memcpy(into, packet->bytes, headers);
  memcpy(into + headers, packet->bytes + headers + packet->done, segment);

  ip_header *ip = (ip_header *)into;
  tcp_header *tcp = (tcp_header *)(into + ip_length);
  ip->tot_len = htons((uint16_t)(headers + segment));
  ip->id = htons((uint16_t)(ntohs(ip->id) + packet->done / packet->virtio.gso_size));
  fill_ip_checksum(ip);
  tcp->seq = htonl(ntohl(tcp->seq) + (uint32_t)packet->done);
  uint8_t *flags = into + ip_length + FLAGS_AT;
  if (packet->done > 0) *flags &= (uint8_t)~CWR;
  if (segment < left) *flags &= (uint8_t)~(FIN | PSH);
  tcp->check = 0;
  tcp->check = (uint16_t)~fold(
      sum_bytes(into + ip_length, tcp_length + segment, pseudo_header_sum(ip, tcp_length + segment)));
  packet->done += segment;
  return headers + segment;
}

/* Whether a packet may be part of a run: plain data, whole, with a right checksum, for nobody checks it later. */
static int is_segment(const struct packet *packet, size_t *tcp_length) {
  size_t ip_length;
  const uint8_t *bytes = packet->bytes;
  if (!tcp_headers(bytes, packet->length, &ip_length, tcp_length) || ip_length != sizeof(struct iphdr)) return 0;
  const ip_header *ip = (const ip_header *)bytes;
  size_t headers = ip_length + *tcp_length;
  uint8_t flags = bytes[ip_length + FLAGS_AT];
  if (ntohs(ip->tot_len) != packet->length || packet->length == headers) return 0;
  if ((ip->frag_off & htons(IP_MF | IP_OFFMASK)) != 0 || (flags & ~PSH) != ACK) return 0;
  if (fold(sum_bytes(bytes, ip_length, 0)) != 0xffff) return 0;
  size_t tcp_total = packet->length - ip_length;
  return fold(sum_bytes(bytes + ip_length, tcp_total, pseudo_header_sum(ip, tcp_total))) == 0xffff;
}

void start_run(struct segment_run *run, const struct packet *packet) {
  size_t tcp_length;
  memset(&run->virtio, 0, sizeof run->virtio);
  run->count = 1;
  run->first = *packet;
  run->closed = !is_segment(packet, &tcp_length);
  if (run->closed) return;
  run->header_length = sizeof(struct iphdr) + tcp_length;
  memcpy(run->header, packet->bytes, run->header_length);
  run->payload_length = run->segment_length = packet->length - run->header_length;
  const tcp_header *tcp = (const tcp_header *)(packet->bytes + sizeof(struct iphdr));
  run->next_sequence = ntohl(tcp->seq) + (uint32_t)run->segment_length;
  run->closed = (packet->bytes[sizeof(struct iphdr) + FLAGS_AT] & PSH) != 0;
}

/* Whether two headers differ only in what the segments of a run differ in: lengths, numbers, checksums, PSH. */
static int same_flow(const uint8_t *a, const uint8_t *b, size_t header_length) {
  const ip_header *ip_a = (const ip_header *)a, *ip_b = (const ip_header *)b;
  const size_t tcp = sizeof(struct iphdr), options = tcp + sizeof(struct tcphdr);
  return ip_a->tos == ip_b->tos && ip_a->frag_off == ip_b->frag_off && ip_a->ttl == ip_b->ttl &&
         memcmp(&ip_a->saddr, &ip_b->saddr, 8) == 0 && memcmp(a + tcp, b + tcp, 4) == 0 /* ports */ &&
         memcmp(a + tcp + 8, b + tcp + 8, 5) == 0 /* acknowledgement, header length */ &&
         memcmp(a + tcp + 14, b + tcp + 14, 2) == 0 /* window */ &&
         memcmp(a + options, b + options, header_length - options) == 0;
}

int extend_run(struct segment_run *run, const struct packet *packet) {
  size_t tcp_length;
  if (run->closed || run->count >= BATCH_PACKETS || packet->length <= run->header_length) return 0;
  size_t payload = packet->length - run->header_length;
  if (payload > run->segment_length || run->header_length + run->payload_length + payload > 65535) return 0;
  if (packet->bytes[0] != 0x45 || !same_flow(run->header, packet->bytes, run->header_length)) return 0;
  const tcp_header *tcp = (const tcp_header *)(packet->bytes + sizeof(struct iphdr));
  if (ntohl(tcp->seq) != run->next_sequence || !is_segment(packet, &tcp_length)) return 0;
  run->count++;
  run->parts[1 + run->count] = (struct iovec){.iov_base = packet->bytes + run->header_length, .iov_len = payload};
  run->payload_length += payload;
  run->next_sequence += (uint32_t)payload;
  uint8_t push = packet->bytes[sizeof(struct iphdr) + FLAGS_AT] & PSH;
  run->header[sizeof(struct iphdr) + FLAGS_AT] |= push;
  run->closed = push != 0 || payload < run->segment_length;
  return 1;
}

int finish_run(struct segment_run *run) {
  run->parts[0] = (struct iovec){.iov_base = &run->virtio, .iov_len = sizeof run->virtio};
  run->parts[1] = (struct iovec){.iov_base = run->first.bytes, .iov_len = run->first.length};
  if (run->count == 1) return 2;
  ip_header *ip = (ip_header *)run->header;
  tcp_header *tcp = (tcp_header *)(run->header + sizeof(struct iphdr));
  size_t tcp_total = run->header_length - sizeof(struct iphdr) + run->payload_length;
  ip->tot_len = htons((uint16_t)(sizeof(struct iphdr) + tcp_total));
  fill_ip_checksum(ip);
  /* The kernel completes it where it must: the field holds the pseudo header's sum. */
  tcp->check = fold(pseudo_header_sum(ip, tcp_total));
  run->virtio = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                        .hdr_len = (uint16_t)run->header_length,
                                        .gso_size = (uint16_t)run->segment_length,
                                        .csum_start = sizeof(struct iphdr),
                                        .csum_offset = CHECKSUM_AT};
  run->parts[1] = (struct iovec){.iov_base = run->header, .iov_len = run->header_length};
  run->parts[2] = (struct iovec){.iov_base = run->first.bytes + run->header_length, .iov_len = run->segment_length};
  return 2 + (int)run->count;
}
