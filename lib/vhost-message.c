/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-message.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "util.h"
#include "vhost-compat.h"

/* What librte_vhost shows us (struct vhu_msg_context): three 32-bit numbers
 * (request, flags, size of the payload), the payload, in VHOST_MESSAGE_SIZE
 * bytes in all, and file descriptors.  It promises to other libraries that
 * handle messages, too, that this stays.  DPDK 25.03 did not keep that. */
#define FLAGS_OFFSET 4
#define SIZE_OFFSET 8
#define PAYLOAD_OFFSET 12
#define FDS_OFFSET VHOST_MESSAGE_SIZE
#define N_FDS_OFFSET (FDS_OFFSET + VHOST_MESSAGE_MAX_FDS * sizeof(int))

#define FLAG_NEED_REPLY (1 << 3)

/* Types of an IOTLB_MSG. */
BUILD_ASSERT_DECL(VHOST_IOTLB_UPDATE == 2 && VHOST_IOTLB_INVALIDATE == 3);

/* Features that decide how rings are laid out. */
#define LAYOUT_FEATURES (UINT64_C(1) << VIRTIO_F_RING_PACKED    \
                         | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/* Returns why librte_vhost must not get the message, or NULL. */
typedef const char *object_func(const struct vhost_conversation *,
                                const struct vhost_message *);

static object_func object_to_features, object_to_memory, object_to_log,
    object_to_size, object_to_base, object_to_postcopy, object_to_inflight,
    object_to_translation, object_to_unknown;

/* All requests that librte_vhost knows, but for those of vhost-crypto.
 * RESET_OWNER and GET_VRING_BASE stop the device, which librte_vhost says
 * before it does more. */
static const struct request {
    const char *name;           /* As in the specification. */
    enum vhost_scope scope;
    bool is_locked;             /* Does librte_vhost hold all access locks? */
    object_func *object;        /* Or NULL: there is nothing to object to. */
} requests[] = {
#define REQUEST(NAME, ...) [VHOST_REQUEST_##NAME] = { #NAME, __VA_ARGS__ }
#define NONE VHOST_SCOPE_NONE
#define VRING VHOST_SCOPE_VRING
#define DEVICE VHOST_SCOPE_DEVICE
    REQUEST(GET_FEATURES,          NONE,   false),
    REQUEST(SET_FEATURES,          DEVICE, true,  object_to_features),
    REQUEST(SET_OWNER,             NONE,   true),
    REQUEST(RESET_OWNER,           NONE,   false),
    REQUEST(SET_MEM_TABLE,         DEVICE, true,  object_to_memory),
    REQUEST(SET_LOG_BASE,          DEVICE, true,  object_to_log),
    REQUEST(SET_LOG_FD,            NONE,   true),
    REQUEST(SET_VRING_NUM,         VRING,  true,  object_to_size),
    REQUEST(SET_VRING_ADDR,        VRING,  true),
    REQUEST(SET_VRING_BASE,        VRING,  true,  object_to_base),
    REQUEST(GET_VRING_BASE,        NONE,   false),
    REQUEST(SET_VRING_KICK,        VRING,  true),
    REQUEST(SET_VRING_CALL,        NONE,   true),
    REQUEST(SET_VRING_ERR,         NONE,   true),
    REQUEST(GET_PROTOCOL_FEATURES, NONE,   false),
    REQUEST(SET_PROTOCOL_FEATURES, NONE,   true),
    REQUEST(GET_QUEUE_NUM,         NONE,   false),
    REQUEST(SET_VRING_ENABLE,      VRING,  true),
    REQUEST(SEND_RARP,             NONE,   true),
    REQUEST(NET_SET_MTU,           NONE,   true),
    REQUEST(SET_BACKEND_REQ_FD,    NONE,   true),
    REQUEST(IOTLB_MSG,             DEVICE, false, object_to_translation),
    REQUEST(GET_CONFIG,            NONE,   false),
    REQUEST(SET_CONFIG,            NONE,   false),
    REQUEST(POSTCOPY_ADVISE,       NONE,   false, object_to_postcopy),
    REQUEST(POSTCOPY_LISTEN,       DEVICE, false),
    REQUEST(POSTCOPY_END,          DEVICE, false),
    REQUEST(GET_INFLIGHT_FD,       NONE,   false, object_to_inflight),
    REQUEST(SET_INFLIGHT_FD,       NONE,   false, object_to_inflight),
    REQUEST(GET_MAX_MEM_SLOTS,     NONE,   false, object_to_unknown),
    REQUEST(ADD_MEM_REG,           DEVICE, false, object_to_unknown),
    REQUEST(REM_MEM_REG,           DEVICE, false, object_to_unknown),
    REQUEST(SET_STATUS,            NONE,   false),
    REQUEST(GET_STATUS,            NONE,   false),
#undef REQUEST
#undef NONE
#undef VRING
#undef DEVICE
};

/* One that we do not know may change anything. */
static const struct request unknown = {
    .name = "an unknown request", .scope = VHOST_SCOPE_DEVICE,
    .object = object_to_unknown,
};

static const struct request *
find_request(uint32_t number)
{
    return (number < ARRAY_SIZE(requests) && requests[number].name
            ? &requests[number] : &unknown);
}

/* Is 'message', before librte_vhost handles it, laid out as we expect?  The
 * library has set those file descriptors to -1 that did not come.
 *
 * After a no, no other answer is to be believed.  If the library's messages
 * were longer than we expect, a front end could write where we look for file
 * descriptors, but only with a message that this calls too long.  If they were
 * shorter, as in an older library, this would read past the end of its
 * message, VHOST_MESSAGE_SIZE and the descriptors: up to 1120 bytes in all, of
 * the stack of its event thread. */
bool
vhost_message_is_readable(const void *message_)
{
    const char *message = message_;
    int fds[VHOST_MESSAGE_MAX_FDS];
    uint32_t size;
    int n_fds;

    memcpy(&size, message + SIZE_OFFSET, sizeof size);
    memcpy(&n_fds, message + N_FDS_OFFSET, sizeof n_fds);
    memcpy(fds, message + FDS_OFFSET, sizeof fds);
    if (size > VHOST_MESSAGE_SIZE - PAYLOAD_OFFSET
        || n_fds < 0 || n_fds > VHOST_MESSAGE_MAX_FDS) {
        return false;
    }
    for (int i = 0; i < VHOST_MESSAGE_MAX_FDS; i++) {
        if (i < n_fds ? fds[i] < 0 : fds[i] != -1) {
            return false;
        }
    }
    return true;
}

/* Parses 'message' into '*m'.  librte_vhost's buffer is at least as long as
 * what is read here, even if the front end has sent less. */
void
vhost_message_parse(const void *message_, struct vhost_message *m)
{
    const char *message = message_;
    const struct request *request;
    int n_fds;

    memset(m, 0, sizeof *m);
    memcpy(&m->request, message, sizeof m->request);
    memcpy(&m->memory, message + PAYLOAD_OFFSET, sizeof m->memory);
    BUILD_ASSERT(PAYLOAD_OFFSET + sizeof m->memory <= VHOST_MESSAGE_SIZE);
    request = find_request(m->request);
    m->name = request->name;
    m->scope = request->scope;
    m->is_locked = request->is_locked;
    /* All that name one do it in the lowest byte; librte_vhost has more bits
     * to ignore for some, and refuses others with more. */
    m->vring = m->u64 & 0xff;

    memcpy(&n_fds, message + N_FDS_OFFSET, sizeof n_fds);
    if (n_fds > 0 && n_fds <= VHOST_MESSAGE_MAX_FDS) {
        m->n_fds = n_fds;
        memcpy(m->fds, message + FDS_OFFSET, n_fds * sizeof m->fds[0]);
    }
}

/* Stores the range of virtqueues that 'm' concerns. */
void
vhost_message_range(const struct vhost_message *m, unsigned int *first,
                    unsigned int *n)
{
    *first = m->scope == VHOST_SCOPE_VRING ? m->vring : 0;
    *n = (m->scope == VHOST_SCOPE_VRING ? 1
          : m->scope == VHOST_SCOPE_DEVICE ? VHOST_MAX_VRINGS : 0);
}

/* After 'm', may the guest expect to have all buffers of the virtqueue
 * back? */
bool
vhost_message_stops_ring(const struct vhost_message *m)
{
    return (m->request == VHOST_REQUEST_SET_VRING_NUM
            || m->request == VHOST_REQUEST_SET_VRING_BASE
            || (m->request == VHOST_REQUEST_SET_VRING_ENABLE
                && !m->state.num));
}

/* Shortens the range of addresses in 'message', an IOTLB_MSG, by a byte if it
 * ends at the last address of all.  QEMU sends such ranges, for example when a
 * Linux guest invalidates a whole domain.  For them, librte_vhost's sum of
 * address and size wraps to 0: it would invalidate nothing, and still access
 * pages that the guest uses for something else by now. */
void
vhost_message_limit_range(void *message)
{
    struct vhost_iotlb_msg iotlb;
    char *payload = (char *) message + PAYLOAD_OFFSET;

    memcpy(&iotlb, payload, sizeof iotlb);
    iotlb.size = MIN(iotlb.size, UINT64_MAX - iotlb.iova);
    memcpy(payload, &iotlb, sizeof iotlb);
}

/* Stores in '*address' where we have what the front end of 'vid' has at
 * 'user_address'.  Returns false if that is not guest memory.  For
 * librte_vhost's event thread. */
bool
vhost_message_find_address(int vid, uint64_t user_address, uint64_t *address)
{
    struct rte_vhost_memory *table;
    bool found = false;

    if (rte_vhost_get_mem_table(vid, &table)) {
        return false;
    }
    for (uint32_t i = 0; i < table->nregions && !found; i++) {
        const struct rte_vhost_mem_region *r = &table->regions[i];

        if (user_address - r->guest_user_addr < r->size) {
            *address = user_address - r->guest_user_addr + r->host_user_addr;
            found = true;
        }
    }
    free(table);
    return found;
}

static void
close_fds(const struct vhost_message *m)
{
    for (unsigned int i = 0; i < m->n_fds; i++) {
        if (m->fds[i] >= 0) {
            close(m->fds[i]);
        }
    }
}

/* Makes librte_vhost treat 'm', which it has not handled yet, as a message
 * that it has refused.
 *
 * This function and the next two return what the callback must return.  They
 * close the message's file descriptors, which librte_vhost then does not. */
enum rte_vhost_msg_result
vhost_message_refuse(const struct vhost_message *m)
{
    close_fds(m);
    return RTE_VHOST_MSG_RESULT_ERR;
}

/* Makes librte_vhost treat 'm' as a message that it has obeyed. */
enum rte_vhost_msg_result
vhost_message_ignore(const struct vhost_message *m)
{
    close_fds(m);
    return RTE_VHOST_MSG_RESULT_OK;
}

/* Makes librte_vhost end the connection on which 'message', parsed as 'm',
 * came. */
enum rte_vhost_msg_result
vhost_message_hang_up(void *message, const struct vhost_message *m)
{
    char *p = (char *) message + FLAGS_OFFSET;
    uint32_t flags;

    /* librte_vhost ends it if the front end does not wait for a reply. */
    memcpy(&flags, p, sizeof flags);
    flags &= ~FLAG_NEED_REPLY;
    memcpy(p, &flags, sizeof flags);
    return vhost_message_refuse(m);
}

/* Returns why librte_vhost must not get 'm', or NULL. */
const char *
vhost_conversation_objection(const struct vhost_conversation *c,
                             const struct vhost_message *m)
{
    object_func *object = find_request(m->request)->object;

    return object ? object(c, m) : NULL;
}

/* Has librte_vhost lost the guest's memory while its rings still point
 * there? */
bool
vhost_conversation_is_broken(const struct vhost_conversation *c)
{
    return c->memory_changes;
}

static uint64_t
get_features(int vid)
{
    uint64_t features = 0;

    rte_vhost_get_negotiated_features(vid, &features);
    return features;
}

/* librte_vhost gets 'm' now, which may fail. */
void
vhost_conversation_begin(struct vhost_conversation *c,
                         const struct vhost_message *m)
{
    switch (m->request) {
    case VHOST_REQUEST_SET_MEM_TABLE:
        c->memory_changes = true;
        break;
    case VHOST_REQUEST_SET_VRING_NUM:
    case VHOST_REQUEST_GET_VRING_BASE:
        /* It frees what depends on the size. */
        c->unsized[m->vring] = true;
        break;
    case VHOST_REQUEST_SET_FEATURES:
        if ((m->u64 ^ get_features(c->vid)) & LAYOUT_FEATURES) {
            /* It keeps what is for another layout. */
            memset(c->unsized, true, sizeof c->unsized);
        }
        break;
    }
}

/* librte_vhost has obeyed 'm'. */
void
vhost_conversation_end(struct vhost_conversation *c,
                       const struct vhost_message *m)
{
    switch (m->request) {
    case VHOST_REQUEST_SET_MEM_TABLE:
        c->memory_changes = false;
        c->has_memory = true;
        break;
    case VHOST_REQUEST_SET_VRING_NUM:
        c->unsized[m->vring] = false;
        c->n_entries += m->state.num;
        c->n_entries -= c->sizes[m->vring];
        c->sizes[m->vring] = m->state.num;
        break;
    case VHOST_REQUEST_POSTCOPY_ADVISE:
        c->has_postcopy = true;
        break;
    case VHOST_REQUEST_POSTCOPY_LISTEN:
        c->listens = true;
        break;
    case VHOST_REQUEST_POSTCOPY_END:
        c->has_postcopy = false;
        c->listens = false;
        break;
    }
}

/* Objections. */

static bool
is_ring_in_use(int vid, unsigned int vring, uint16_t *size)
{
    struct rte_vhost_vring v;

    if (vring >= rte_vhost_get_vring_num(vid)
        || rte_vhost_get_vhost_vring(vid, vring, &v)) {
        return false;
    }
    *size = v.size;
    return v.desc != NULL;
}

static bool
is_any_ring_in_use(int vid)
{
    uint16_t n = rte_vhost_get_vring_num(vid);
    uint16_t size;

    for (unsigned int i = 0; i < n; i++) {
        if (is_ring_in_use(vid, i, &size)) {
            return true;
        }
    }
    return false;
}

static const char *
object_to_features(const struct vhost_conversation *c,
                   const struct vhost_message *m)
{
    /* It would still use addresses that it checked for the old layout. */
    if ((m->u64 ^ get_features(c->vid)) & LAYOUT_FEATURES
        && is_any_ring_in_use(c->vid)) {
        return "the layout of rings in use cannot change";
    }
    /* It would free all other virtqueues, which may be in use. */
    if (c->is_running && !(m->u64 & UINT64_C(1) << VIRTIO_NET_F_MQ)
        && rte_vhost_get_vring_num(c->vid) > 2) {
        return "more than two virtqueues run";
    }
    return NULL;
}

/* Maps region 'i' of 'm', as librte_vhost will, for a moment. */
static const char *
object_to_region(const struct vhost_message *m, unsigned int i)
{
    const struct vhost_message_region *region = &m->memory.regions[i];
    uint64_t size = 0;
    void *p = MAP_FAILED;
    struct stat s;

    if (region->mmap_offset < -region->size && !fstat(m->fds[i], &s)) {
        size = ROUND_UP(region->size + region->mmap_offset, s.st_blksize);
    }
    if (size && (VHOST_COMPARES_FILE_SIZE || S_ISREG(s.st_mode))
        && s.st_size < size) {
        return "a region is larger than its file";
    }
    if (size) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[i], 0);
    }
    return p != MAP_FAILED && !munmap(p, size) ? NULL
           : "a region cannot be mapped";
}

/* It would unmap the memory that it has, then see that it cannot have the new
 * one, and lose the file descriptor. */
static const char *
object_to_memory(const struct vhost_conversation *c OVS_UNUSED,
                 const struct vhost_message *m)
{
    if (m->memory.n_regions > VHOST_MESSAGE_MAX_FDS
        || m->n_fds != m->memory.n_regions) {
        return "it lacks a file for one of up to 8 regions";
    }
    for (unsigned int i = 0; i < m->memory.n_regions; i++) {
        const char *objection = object_to_region(m, i);

        if (objection) {
            return objection;
        }
    }
    return NULL;
}

/* Stores in '*files' the files that come with 'm', which librte_vhost is about
 * to handle. */
void
vhost_message_note_files(const struct vhost_message *m,
                         struct vhost_message_files *files)
{
    files->n = 0;
    for (unsigned int i = 0; i < m->n_fds; i++) {
        struct stat s;

        if (!fstat(m->fds[i], &s)) {
            files->files[files->n].fd = m->fds[i];
            files->files[files->n].device = s.st_dev;
            files->files[files->n++].inode = s.st_ino;
        }
    }
}

/* Closes those of 'files' that are still open, although librte_vhost has
 * failed to handle the message with which they came, and forgets all.  Returns
 * the number of those closed.
 *
 * The same files may have come with another message since then and, as
 * librte_vhost handles one at a time, only with 'm', or with none if that is
 * NULL. */
unsigned int
vhost_message_close_lost_files(struct vhost_message_files *files,
                               const struct vhost_message *m)
{
    unsigned int n_closed = 0;

    for (unsigned int i = 0; i < files->n; i++) {
        int fd = files->files[i].fd;
        bool is_lost;
        struct stat s;

        is_lost = (!fstat(fd, &s) && s.st_dev == files->files[i].device
                   && s.st_ino == files->files[i].inode);
        for (unsigned int j = 0; m && j < m->n_fds; j++) {
            is_lost = is_lost && m->fds[j] != fd;
        }
        if (is_lost) {
            close(fd);
            n_closed++;
        }
    }
    files->n = 0;
    return n_closed;
}

/* DPDK 22.11 would add the offset twice, and write there. */
static const char *
object_to_log(const struct vhost_conversation *c OVS_UNUSED,
              const struct vhost_message *m)
{
    return m->log.offset ? "the log has an offset" : NULL;
}

/* Returns the index at which packed ring 'vring' is to start. */
static unsigned int
packed_index(int vid, unsigned int vring)
{
    uint16_t avail, used;

    return (rte_vhost_get_vring_base(vid, vring, &avail, &used) ? 0
            : MAX(avail & 0x7fff, used & 0x7fff));
}

static bool
is_packed(const struct vhost_conversation *c)
{
    return get_features(c->vid) & UINT64_C(1) << VIRTIO_F_RING_PACKED;
}

static const char *
object_to_size(const struct vhost_conversation *c,
               const struct vhost_message *m)
{
    uint16_t size;

    /* It would not check the ring's addresses again. */
    if (is_ring_in_use(c->vid, m->vring, &size) && m->state.num != size) {
        return "the size of a ring in use cannot change";
    }
    /* It allocates memory, which all guests share. */
    if (c->n_entries - c->sizes[m->vring] + m->state.num
        > VHOST_MAX_RING_ENTRIES) {
        return "the rings have too many entries in all";
    }
    /* It would not look at the index again. */
    if (is_packed(c) && m->state.num
        && packed_index(c->vid, m->vring) >= m->state.num) {
        return "the ring's start index is out of range";
    }
    return NULL;
}

/* It would continue there, past the end of the ring. */
static const char *
object_to_base(const struct vhost_conversation *c,
               const struct vhost_message *m)
{
    uint32_t size = c->sizes[m->vring];

    return (is_packed(c) && size && (m->state.num & 0x7fff) >= size
            ? "the ring's start index is out of range" : NULL);
}

/* It would lose the file descriptor that it has. */
static const char *
object_to_postcopy(const struct vhost_conversation *c,
                   const struct vhost_message *m OVS_UNUSED)
{
    return c->has_postcopy ? "post-copy has already begun" : NULL;
}

/* It would use any amount of memory, or believe what is in it. */
static const char *
object_to_inflight(const struct vhost_conversation *c OVS_UNUSED,
                   const struct vhost_message *m OVS_UNUSED)
{
    return "there is no memory for buffers in flight";
}

/* It would refuse most of these, too, but not tell us, and bursts would wait
 * for the end of it. */
static const char *
object_to_translation(const struct vhost_conversation *c,
                      const struct vhost_message *m)
{
    uint64_t address;

    if (!(get_features(c->vid) & UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM)) {
        return "the guest has no IOMMU";
    }
    return (m->iotlb.type == VHOST_IOTLB_INVALIDATE
            || (m->iotlb.type == VHOST_IOTLB_UPDATE && c->has_memory
                && vhost_message_find_address(c->vid, m->iotlb.uaddr,
                                              &address))
            ? NULL : "it translates to what is not guest memory");
}

/* A later release may obey it, and change memory or rings that we use. */
static const char *
object_to_unknown(const struct vhost_conversation *c OVS_UNUSED,
                  const struct vhost_message *m OVS_UNUSED)
{
    return "no feature that it belongs to was offered";
}
