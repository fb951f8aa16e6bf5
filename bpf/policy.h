/* The maps of the network policies. Addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d; ports and numbers are in the host's order
 * unless they are part of a prefix. */

/* Of a packet, as the pod sees it. */
enum direction { INGRESS, EGRESS };

/* What binds a pod in each direction: set << 32 | revision; and the number of its link on the node. It is written where it stands, since a hash may give what it has
 * replaced to another key at once, while a program still reads it. A binding that is read half written has one of the two sets, and
 * equals none that a flow was judged with. */
struct pod {
	__u64 binding[2];
	__u32 log;
	__u32 ifindex;
};
enum { MOST_PODS = 4096 };
enum { LOG_NONE, LOG_DENIED, LOG_ALL };

struct peer_key {
	__u32 prefix_length;
	__u32 set;
	__u8 address[16];
};

struct verdict_key {
	__u32 prefix_length;
	__u32 class;
	__u8 protocol;
	__u8 port[2]; /* the higher byte first */
	__u8 pad;
};
enum { PEER_BITS = 32 + 128, VERDICT_BITS = 32 + 8 + 16 };

struct verdict {
	__u32 rule;
	__u32 allows;
};

/* Of ICMP, remote_port is the direction of the request and local_port its identifier. */
struct flow_key {
	__u8 remote_address[16];
	__u32 ifindex;
	__u16 remote_port;
	__u16 local_port;
	__u8 protocol;
	__u8 pad[3];
};

struct flow {
	__u64 binding; /* it was judged with */
	__u32 rule;
	__u32 seen;     /* in units of 2^30 ns */
	__u8 direction; /* it began in */
	__u8 closing;
	__u8 pad[6];
};
#define EXEMPT (~0ULL) /* a binding: no policy is asked */

struct fragment_key {
	__u8 remote_address[16];
	__u32 ifindex;
	__u16 id;
	__u8 protocol;
	__u8 direction;
};

struct event {
	__u64 time; /* CLOCK_MONOTONIC, in ns */
	__u32 ifindex;
	__u32 rule;
	__u32 loaded; /* by whom, see below */
	__u16 source_port;
	__u16 destination_port;
	__u8 source[16];
	__u8 destination[16];
	__u8 protocol;
	__u8 direction;
	__u8 allowed;
	__u8 reason;
	__u32 pad;
};
enum reason { RULE, FRAGMENT, MALFORMED };

struct counters {
	__u64 denied_packets[2], passed_packets[2]; /* by direction */
	__u64 denied_flows[2], allowed_flows[2];
	__u64 lost_events, untracked;
};

/* Those of the rules are made anew by each process; the others are pinned, and shared by those that follow each other. */
struct {
	__uint(type, ARRAY);
	__uint(max_entries, MOST_PODS);
	__type(key, __u32); /* a place: as a rule, the remainder of the number of the link */
	__type(value, struct pod);
} pods SEC(".maps");

/* Where the pods are whose own place another one has. */
struct {
	__uint(type, HASH);
	__uint(max_entries, MOST_PODS);
	__type(key, __u32); /* the number of the link */
	__type(value, __u32);
} places SEC(".maps");

struct {
	__uint(type, LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1000000);
	__type(key, struct peer_key);
	__type(value, __u32); /* class */
} peers SEC(".maps");

struct {
	__uint(type, LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1000000);
	__type(key, struct verdict_key);
	__type(value, struct verdict);
} verdicts SEC(".maps");

struct {
	__uint(type, LRU_HASH);
	__uint(max_entries, 262144);
	__uint(pinning, PIN_BY_NAME);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, LRU_HASH);
	__uint(max_entries, 4096);
	__uint(pinning, PIN_BY_NAME);
	__type(key, struct fragment_key);
	__type(value, __u32); /* when its first one was let through, as `seen` */
} fragments SEC(".maps");

struct {
	__uint(type, RINGBUF);
	__uint(max_entries, 1 << 18);
	__uint(pinning, PIN_BY_NAME);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* By verdict: when the next event would come if all came evenly, in ns. */
struct {
	__uint(type, ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} paces SEC(".maps");

/* Which process has loaded the programs: the numbers of rules are its own. */
const volatile __u32 loaded = 0;
/* Whether this kernel has the coarse clock: those from 5.11 on have, and others refuse programs that could come to ask it. */
const volatile __u32 has_coarse_clock = 1;
/* Nanoseconds between two events of a verdict, and how many may come at once. */
const volatile __u64 event_interval = 4000000;
const volatile __u64 event_burst = 250;
