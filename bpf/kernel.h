/* What the programs need of the kernel's interface (linux/bpf.h, linux/pkt_cls.h and the protocols' headers), declared here so
 * that clang alone compiles them. */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name
#define __inline static inline __attribute__((always_inline))
#define __noinline static __attribute__((noinline))
#define offsetof(type, member) __builtin_offsetof(type, member)
#define ntohs(value) __builtin_bswap16(value)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define NULL ((void *)0)

enum { HASH = 1, ARRAY = 2, PERCPU_ARRAY = 6, LRU_HASH = 9, LPM_TRIE = 11, RINGBUF = 27 };
enum { BPF_F_NO_PREALLOC = 1, PIN_BY_NAME = 1 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static __u64 (*ktime_get_ns)(void) = (void *)5;
static long (*skb_load_bytes)(const void *skb, __u32 offset, void *to, __u32 length) = (void *)26;
static __u64 (*ktime_get_coarse_ns)(void) = (void *)160;
static void *(*ringbuf_reserve)(void *map, __u64 size, __u64 flags) = (void *)131;
static void (*ringbuf_submit)(void *record, __u64 flags) = (void *)132;

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	__u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

/* Of tc: on to whatever comes next, or no further. */
enum { TC_ACT_UNSPEC = -1, TC_ACT_SHOT = 2 };

enum { ETH_HLEN = 14, ETH_P_IP = 0x0800, ETH_P_IPV6 = 0x86dd };
enum { HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };

struct iphdr {
	__u8 version_ihl, tos;
	__u16 total_length, id, fragment;
	__u8 ttl, protocol;
	__u16 check;
	__u32 source, destination;
};
enum { IP_MF = 0x2000, IP_OFFSET = 0x1fff };

struct ipv6hdr {
	__u32 version_class_label;
	__u16 payload_length;
	__u8 next_header, hop_limit;
	__u8 source[16], destination[16];
};

/* As much of each protocol's header as is looked at. */
union l4hdr {
	struct {
		__u16 source, destination;
	} ports;
	struct {
		__u16 source, destination;
		__u32 sequence, acknowledged;
		__u8 offset, flags;
	} __attribute__((packed)) tcp;
	struct {
		__u16 source, destination;
		__u32 tag, checksum;
		__u8 chunk;
	} __attribute__((packed)) sctp;
	struct {
		__u8 type, code;
		__u16 checksum, id, sequence;
	} icmp;
};
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { SCTP_INIT = 1, SCTP_ABORT = 6, SCTP_SHUTDOWN_COMPLETE = 14 };
