#include "bpf.h"

enum verdict { PASS, DROP, LIMITED };
struct flow_key { __u32 source; __u16 port; __u8 protocol; __u8 pad; };
struct flow { __u64 packets; struct { __u32 bytes; __s64 change; } sums; enum verdict verdict; char note[8]; __u8 mac[6]; __u8 low : 3, high : 5; };
struct prefix { __u32 length; __u8 address[4]; };
struct event { __u64 sequence; __u32 length; char text[12]; };

struct { __uint(type, HASH); __uint(max_entries, 8192); __type(key, struct flow_key); __type(value, struct flow); } flows SEC(".maps");
struct { __uint(type, LRU_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); } recent SEC(".maps");
struct { __uint(type, PERCPU_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct { __uint(type, PERCPU_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, struct event); } spread SEC(".maps");
struct { __uint(type, LPM_TRIE); __uint(max_entries, 1024); __uint(map_flags, 1); __type(key, struct prefix); __type(value, __u32); } routes SEC(".maps");
struct { __uint(type, RINGBUF); __uint(max_entries, 4096); __type(value, struct event); } events SEC(".maps");
struct { __uint(type, ARRAY); __uint(max_entries, 4); __uint(pinning, 1); __type(key, __u32); __type(value, __u32); } kept SEC(".maps");
struct inner { __uint(type, ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); };
struct inner first SEC(".maps");
struct { __uint(type, ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32); __array(values, struct inner); } nested SEC(".maps") = { .values = { [1] = &first } };
int tail(struct __sk_buff *skb);
struct { __uint(type, PROG_ARRAY); __uint(max_entries, 4); __type(key, __u32); __array(values, int(void *)); } jumps SEC(".maps") = { .values = { [2] = (void *)&tail } };

const volatile __u32 limit = 5;
volatile __u64 seen = 40;
volatile __u32 zero;
volatile __u64 sleeps, wakes;

static __noinline __u32 mix(__u32 a, __u32 b) { return a * 3 + b + limit; }
__noinline int twice(int a) { return mix(a, a) * 2; }

SEC("tc") int calls(struct __sk_buff *skb) { seen++; zero += 2; return twice(skb->len) + mix(1, skb->len); }
SEC("tc") int tail(struct __sk_buff *skb) { return 77; }
SEC("tc") int jump(struct __sk_buff *skb) { tail_call(skb, &jumps, 2); return 1; }

SEC("tcx/ingress") int count(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value = map_lookup(&counts, &key);
	if (value) *value += 1;
	return -1;
}
SEC("tcx/ingress") int drop(struct __sk_buff *skb) { return 2; }

SEC("tc") int emit(struct __sk_buff *skb)
{
	struct event *event = ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) return 1;
	event->sequence = seen++;
	event->length = skb->len;
	__builtin_memcpy(event->text, "hello\0\0\0\0\0\0", 12);
	ringbuf_submit(event, 0);
	return 0;
}
SEC("tc") int route(struct __sk_buff *skb)
{
	struct prefix key = { 32, { 10, 1, 2, 3 } };
	__u32 index = 1, *value = map_lookup(&routes, &key);
	void *inner = map_lookup(&nested, &index);
	if (!inner || !value) return -1;
	index = 0;
	__u32 *in = map_lookup(inner, &index);
	return in ? *value + *in : -2;
}
SEC("xdp") int mark(struct xdp_md *context)
{
	__u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	if (data + 14 > end) return 1;
	data[0] = 0xee;
	return 2;
}
SEC("xdp") int sink(struct xdp_md *context) { return 1; }
SEC("tracepoint/sched/sched_process_exec") int on_exec(void *context) { __sync_fetch_and_add(&seen, 1); return 0; }
SEC("kprobe/do_nanosleep") int on_sleep(void *context) { __sync_fetch_and_add(&sleeps, 1); return 0; }
SEC("kretprobe/do_nanosleep") int on_wake(void *context) { __sync_fetch_and_add(&wakes, 1); return 0; }
char _license[] SEC("license") = "GPL";
