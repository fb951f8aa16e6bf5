#include "bpf.h"
struct { __uint(type, HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } table SEC(".maps");
SEC("tc") int careless(struct __sk_buff *skb)
{
	__u32 key = skb->len;
	__u64 *value = map_lookup(&table, &key);
	return *value; /* never looked */
}
char _license[] SEC("license") = "GPL";
