/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Fuzzer of offload requests: a guest's virtio-net header and packet on their
 * way through the switch, to a port that takes no offloads and to another
 * guest.
 *
 * What must hold is what Open vSwitch's own code asserts, its parser and what
 * completes checksums and cuts segments for a port; besides: a checksum that
 * was asked for is right in the end, segments are as long as the request says,
 * and there are no more of them than the packet has bytes for.
 *
 * An input is a byte of switches (enum), the ten bytes of the header, the
 * number of zeros to append in units of 256 bytes, and the packet. */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <rte_mbuf.h>

#include "crc32c.h"
#include "csum.h"
#include "dp-packet.h"
#include "flow.h"
#include "fuzz-guest.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-offload.h"

#if OVS_SINCE(3, 5)
#include "dp-packet-gso.h"
#endif

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define HEADROOM 128

/* What an input can switch on. */
enum {
    NO_TSO4 = 1 << 0,           /* Not negotiated. */
    NO_TSO6 = 1 << 1,
    PUSH_VLAN = 1 << 2,         /* Actions. */
    POP_VLAN = 1 << 3,
    RECIRCULATE = 1 << 4,       /* Parse again. */
    TO_GUEST = 1 << 5,          /* The output. */
    LIBRARY = 1 << 6,           /* librte_vhost's data path. */
};

static struct virtio_net_hdr hdr;
static uint8_t *memory;
static struct dp_packet packet;
static struct rte_mbuf *const mbuf = &packet.mbuf;

/* Makes 'packet' of 'len' bytes at 'data' and 'n_zeros' more, followed by
 * inaccessible memory. */
static void
make_packet(const uint8_t *data, size_t len, size_t n_zeros)
{
    len = MIN(len, UINT16_MAX - HEADROOM);
    n_zeros = MIN(n_zeros, UINT16_MAX - HEADROOM - len);
    memory = malloc(HEADROOM + len + n_zeros);
    FUZZ_CHECK(memory);
    memcpy(memory + HEADROOM, data, len);
    memset(memory + HEADROOM + len, 0, n_zeros);

    memset(&packet, 0, sizeof packet);
    dp_packet_use_stub(&packet, memory, HEADROOM + len + n_zeros);
    dp_packet_reserve(&packet, HEADROOM);
    dp_packet_set_size(&packet, len + n_zeros);
    mbuf->nb_segs = 1;
    mbuf->data_len = mbuf->pkt_len = len + n_zeros;
    pkt_metadata_init(&packet.md, 0);
}

static uint16_t
sum_of(const void *data, size_t n)
{
    return ~csum(data, n);
}

/* Checks that the checksum of 'p', which Open vSwitch has parsed, is right. */
static void
check_l4_checksum(const struct dp_packet *p)
{
    const struct ip_header *ip = dp_packet_l3(p);
    const struct ovs_16aligned_ip6_hdr *ip6 = dp_packet_l3(p);
    bool is_ipv4 = IP_VER(ip->ip_ihl_ver) == 4;
    uint8_t proto = is_ipv4 ? ip->ip_proto : ip6->ip6_nxt;
    const void *l4 = dp_packet_l4(p);
    size_t size = dp_packet_l4_size(p);
    uint32_t sum;

    if (proto == IPPROTO_SCTP) {
        struct sctp_header *sctp = CONST_CAST(struct sctp_header *, l4);
        ovs_be32 found = get_16aligned_be32(&sctp->sctp_csum);

        put_16aligned_be32(&sctp->sctp_csum, 0);
        FUZZ_CHECK(crc32c(l4, size) == found);
        return;
    }
    if (proto == IPPROTO_UDP && !((const struct udp_header *) l4)->udp_csum) {
        return;                 /* Open vSwitch takes it for none. */
    }
    if (is_ipv4) {
        sum = csum_continue(0, &ip->ip_src, 8);
    } else {
        sum = csum_continue(0, &ip6->ip6_src, 32);
    }
    sum = csum_add32(sum, htonl(size + proto));
    FUZZ_CHECK(!csum_finish(csum_continue(sum, l4, size)));
}

/* Parses the packet as the switch does.  What the request is about must be
 * found. */
static void
parse(void)
{
    struct flow flow;

    flow_extract(&packet, &flow);
    FUZZ_CHECK(dp_packet_l3(&packet) && dp_packet_l4(&packet));
    FUZZ_CHECK(vhost_has_request(&packet)
               && vhost_request_to_mbuf(&packet, dp_packet_l3(&packet)));
    FUZZ_CHECK((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK)
               == (flow.nw_proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM
                   : flow.nw_proto == IPPROTO_UDP ? RTE_MBUF_F_TX_UDP_CKSUM
                   : RTE_MBUF_F_TX_SCTP_CKSUM));
    if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
        FUZZ_CHECK(dp_packet_get_tcp_payload(&packet));
        FUZZ_CHECK(dp_packet_get_tcp_payload_length(&packet)
                   > mbuf->tso_segsz);
    }
}

#if OVS_SINCE(3, 5)
/* Checks that 'p' is complete, if the switch prepares it for a port that takes
 * no offloads. */
static void
check_prepared(struct dp_packet *p)
{
    dp_packet_ol_send_prepare(p, 0);
    check_l4_checksum(p);
}

/* The same for the segments in 'batch', the first of which may be 'packet'
 * itself, and which have up to 'size' bytes.  Returns how many there are. */
static int
check_segments(struct dp_packet_batch *batch, uint16_t size)
{
    struct dp_packet *segment;

    DP_PACKET_BATCH_FOR_EACH (i, segment, batch) {
        FUZZ_CHECK(dp_packet_get_tcp_payload_length(segment) <= size);
        check_prepared(segment);
        if (segment != &packet) {
            dp_packet_delete(segment);
        }
    }
    return dp_packet_batch_size(batch);
}

/* Has the switch cut the packet into 'n' segments of up to 'size' bytes. */
static void
cut(int n, uint16_t size)
{
#if OVS_SINCE(4, 0)
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, &packet);
    dp_packet_gso_batch(&batch);
    FUZZ_CHECK(check_segments(&batch, size) == n);
    dp_packet_batch_destroy(&batch);
#else
    int n_batches = DIV_ROUND_UP(n, NETDEV_MAX_BURST);
    struct dp_packet_batch *batches = xmalloc(n_batches * sizeof *batches);
    struct dp_packet_batch *next = batches;

    for (int i = 0; i < n_batches; i++) {
        dp_packet_batch_init(&batches[i]);
    }
    FUZZ_CHECK(dp_packet_gso(&packet, &next));
    for (int i = 0; i < n_batches; i++) {
        n -= check_segments(&batches[i], size);
    }
    FUZZ_CHECK(!n);
    free(batches);
#endif
}

/* The packet goes to a port that takes no offloads. */
static void
send_plain(void)
{
    if (vhost_is_to_be_segmented(&packet)) {
        int n = dp_packet_gso_nr_segs(&packet);

        FUZZ_CHECK(n > 1 && n <= UINT16_MAX / VHOST_OFFLOAD_MIN_SEGMENT);
        cut(n, mbuf->tso_segsz);
    } else {
        check_prepared(&packet);
    }
}
#else
static void
send_plain(void)
{
}
#endif

/* The packet goes to another guest, which completes what it is asked for. */
static void
send_to_guest(void)
{
    struct virtio_net_hdr out = { .flags = 0 };
    const char *frame = dp_packet_data(&packet);
    uint16_t end, sum;

    mbuf->l2_len = (char *) dp_packet_l3(&packet) - frame;
    mbuf->l3_len = (char *) dp_packet_l4(&packet)
                   - (char *) dp_packet_l3(&packet);
    vhost_offload_to_guest(mbuf, &out);
    FUZZ_CHECK(out.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
    end = out.csum_start + dp_packet_l4_size(&packet);
    FUZZ_CHECK(end <= dp_packet_size(&packet)
               && out.csum_start + out.csum_offset + 2 <= end);
    if (out.csum_offset == 8) {
        return;                 /* SCTP: it knows better. */
    }
    sum = csum(frame + out.csum_start, end - out.csum_start);
    put_unaligned_u16((uint16_t *) (frame + out.csum_start
                                    + out.csum_offset), sum);
    check_l4_checksum(&packet);
}

static void
travel(unsigned int switches)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, &packet);
    vhost_init_packets(&batch);
    parse();
    if (switches & POP_VLAN) {
        eth_pop_vlan(&packet);
    }
    if (switches & PUSH_VLAN && !eth_type_vlan(get_unaligned_be16(
            ALIGNED_CAST(ovs_be16 *, (char *) dp_packet_data(&packet)
                                     + 12)))) {
        eth_push_vlan(&packet, htons(ETH_TYPE_VLAN_8021Q), htons(5));
    }
    if (switches & RECIRCULATE) {
        parse();
    }
    if (switches & TO_GUEST) {
        send_to_guest();
    } else {
        send_plain();
    }
}

/* Sets the flags that librte_vhost sets before vhost_offload_from_library():
 * for the checksum of a header that it knows, and for segments. */
static void
library_flags(void)
{
    if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
    }
    if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE && hdr.gso_size) {
        mbuf->ol_flags |= RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
        mbuf->tso_segsz = hdr.gso_size;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PACKET = 1 + sizeof hdr + 1 };
    uint64_t features = UINT64_C(1) << VIRTIO_NET_F_CSUM;
    enum vhost_offload_fate fate;
    unsigned int switches;
    uint16_t before = 0;
    bool leaves_alone;

    if (size < PACKET + ETH_HEADER_LEN) {
        return 0;
    }
    switches = data[0];
    memcpy(&hdr, data + 1, sizeof hdr);
    make_packet(data + PACKET, size - PACKET, data[PACKET - 1] * 256);
    features |= switches & NO_TSO4 ? 0 : UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4;
    features |= switches & NO_TSO6 ? 0 : UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6;

    leaves_alone = vhost_offload_leaves_packet_alone(
        &hdr, features, dp_packet_data(&packet), dp_packet_size(&packet));
    if (hdr.csum_start < dp_packet_size(&packet)) {
        before = sum_of((char *) dp_packet_data(&packet) + hdr.csum_start,
                        dp_packet_size(&packet) - hdr.csum_start);
    }
    if (switches & LIBRARY) {
        library_flags();
        fate = vhost_offload_from_library(features, mbuf);
    } else {
        fate = vhost_offload_from_guest(&hdr, features, mbuf);
        FUZZ_CHECK(!leaves_alone || fate == VHOST_OFFLOAD_PASSED_ON);
    }
    if (fate == VHOST_OFFLOAD_PASSED_ON
        && mbuf->ol_flags & VHOST_OFFLOAD_FLAGS) {
        travel(switches);
    } else {
        FUZZ_CHECK(!mbuf->ol_flags);
        if (fate == VHOST_OFFLOAD_COMPLETED && !(switches & LIBRARY)) {
            const char *field = (char *) dp_packet_data(&packet)
                                + hdr.csum_start + hdr.csum_offset;
            uint16_t found = get_unaligned_u16((const uint16_t *) field);

            FUZZ_CHECK(found
                       && (found == (uint16_t) ~before
                           || (found == UINT16_MAX && before == UINT16_MAX)));
        }
    }
    dp_packet_uninit(&packet);
    free(memory);
    return 0;
}
