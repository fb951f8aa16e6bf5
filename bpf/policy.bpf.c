/* Network policies on the links that pods have on their node: from_pod judges what a pod sends, to_pod what it receives. */
#include "kernel.h"
#include "policy.h"

char LICENSE[] SEC("license") = "GPL";

/* How long a flow is remembered without a packet, in units of 2^30 ns, about seconds. */
enum { SHORT = 180, CLOSING = 120, LONG = 5 * 86400, FRAGMENT_LIFE = 30 };

struct packet {
	struct flow_key key;
	__u32 now;
	__u32 l4;       /* where its header begins */
	__u16 id;       /* of IP */
	__u8 part;
	__u8 opens;     /* it asks for a new connection */
	__u8 closes;
	__u8 untracked; /* no flow begins with it */
	__u8 error;     /* of ICMP: it is about another packet */
};
enum part { WHOLE, FIRST, LATER };
enum parsed { READ, BROKEN, NEIGHBOURS };

__inline __u32 clock(void)
{
	return (has_coarse_clock ? ktime_get_coarse_ns() : ktime_get_ns()) >> 30;
}

/* Another processor may have written a later time than this one had read. */
__inline __u32 age(__u32 then, __u32 now)
{
	__u32 passed = now - then;

	return passed >> 31 ? 0 : passed;
}

/* Copies from a packet, as a rule from where its headers are, without a call. */
__inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
	const __u8 *from = (const __u8 *)(long)skb->data + offset;

	if (from + length > (const __u8 *)(long)skb->data_end)
		return skb_load_bytes(skb, offset, to, length);
	/* In words: what the kernel calls aligned does not matter where it has eBPF at all. */
	__builtin_memcpy(to, __builtin_assume_aligned(from, 4), length);
	return 0;
}

__inline void set_address(__u8 *to, __u32 ipv4)
{
	*(__u16 *)(to + 10) = 0xffff;
	*(__u32 *)(to + 12) = ipv4;
}

__inline void set_ports(struct flow_key *key, __u16 source, __u16 destination, __u32 from_pod)
{
	key->local_port = ntohs(from_pod ? source : destination);
	key->remote_port = ntohs(from_pod ? destination : source);
}

/* @sender: the direction of the packet that holds the header. @return whether it is a request or a reply. */
__inline int set_echo(struct flow_key *key, const union l4hdr *l4, __u32 sender)
{
	int v6 = key->protocol == ICMPV6;
	__u8 type = l4->icmp.type;
	int request = v6 ? type == 128 : type == 8 || type == 13;
	int reply = v6 ? type == 129 : type == 0 || type == 14;

	if (!request && !reply)
		return 0;
	key->remote_port = 1 + (request ? sender : !sender);
	key->local_port = ntohs(l4->icmp.id);
	return request ? 1 : 2;
}

__inline int parse_icmp(struct packet *packet, const union l4hdr *l4, __u32 direction)
{
	__u8 type = l4->icmp.type;

	if (packet->key.protocol == ICMPV6) {
		/* Neighbours, routers and multicast listeners: without them there is no IPv6. */
		if ((type >= 130 && type <= 137) || type == 143)
			return NEIGHBOURS;
		packet->error = type >= 1 && type <= 4;
	} else {
		packet->error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
	}
	packet->untracked = set_echo(&packet->key, l4, direction) != 1;
	return READ;
}

__inline int parse_l4(struct __sk_buff *skb, struct packet *packet, __u32 direction)
{
	union l4hdr l4 = {};

	switch (packet->key.protocol) {
	case TCP:
		if (load(skb, packet->l4, &l4, sizeof(l4.tcp)))
			return BROKEN;
		packet->opens = (l4.tcp.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		packet->closes = l4.tcp.flags & (TCP_FIN | TCP_RST);
		break;
	case UDP:
		if (load(skb, packet->l4, &l4, sizeof(l4.ports)))
			return BROKEN;
		break;
	case SCTP:
		if (load(skb, packet->l4, &l4, sizeof(l4.sctp)))
			return BROKEN;
		packet->opens = l4.sctp.chunk == SCTP_INIT;
		packet->closes = l4.sctp.chunk == SCTP_ABORT || l4.sctp.chunk == SCTP_SHUTDOWN_COMPLETE;
		break;
	case ICMP:
	case ICMPV6:
		if (load(skb, packet->l4, &l4, sizeof(l4.icmp)))
			return BROKEN;
		return parse_icmp(packet, &l4, direction);
	default:
		return READ;
	}
	set_ports(&packet->key, l4.ports.source, l4.ports.destination, direction == EGRESS);
	return READ;
}

__inline int parse_ipv4(struct __sk_buff *skb, struct packet *packet, __u32 direction)
{
	struct iphdr ip;
	__u16 fragment;

	if (load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return BROKEN;
	set_address(packet->key.remote_address, direction == EGRESS ? ip.destination : ip.source);
	packet->key.protocol = ip.protocol;
	packet->l4 = ETH_HLEN + (ip.version_ihl & 15) * 4;
	if (unlikely(packet->l4 < ETH_HLEN + sizeof(ip)))
		return BROKEN;
	fragment = ntohs(ip.fragment);
	if (unlikely(fragment & (IP_MF | IP_OFFSET))) {
		packet->id = ntohs(ip.id);
		packet->part = fragment & IP_OFFSET ? LATER : FIRST;
		if (packet->part == LATER)
			return READ;
	}
	return parse_l4(skb, packet, direction);
}

/* Of the headers between IPv6's own and the transport's, that for all hops is passed over, which reports to multicast routers
 * have. What has others is judged without a port. */
__inline int parse_ipv6(struct __sk_buff *skb, struct packet *packet, __u32 direction)
{
	struct ipv6hdr ip;
	__u8 option[2];

	if (load(skb, ETH_HLEN, &ip, sizeof(ip)))
		return BROKEN;
	__builtin_memcpy(packet->key.remote_address, direction == EGRESS ? ip.destination : ip.source, 16);
	packet->key.protocol = ip.next_header;
	packet->l4 = ETH_HLEN + sizeof(ip);
	if (unlikely(ip.next_header == HOP_BY_HOP)) {
		if (load(skb, packet->l4, option, sizeof(option)))
			return BROKEN;
		packet->key.protocol = option[0];
		packet->l4 += 8 + option[1] * 8;
	}
	return parse_l4(skb, packet, direction);
}

/* What a set says: rule << 1 | whether it is allowed. Where there is nothing, nothing is allowed. */
__noinline __u64 look_up(__u32 set, const __u8 *address, __u8 protocol, __u16 port)
{
	struct peer_key peer = { .prefix_length = PEER_BITS, .set = set };
	struct verdict_key key = { .prefix_length = VERDICT_BITS, .protocol = protocol };
	struct verdict *verdict;
	__u32 *class;

	__builtin_memcpy(peer.address, address, sizeof(peer.address));
	class = map_lookup(&peers, &peer);
	if (!class)
		return 0;
	key.class = *class;
	key.port[0] = port >> 8;
	key.port[1] = port;
	verdict = map_lookup(&verdicts, &key);
	return verdict ? (__u64)verdict->rule << 1 | (verdict->allows & 1) : 0;
}

/* Judges a flow by the port of the side that did not begin it. */
__inline __u64 judge(__u64 binding, const struct flow_key *key, __u32 direction)
{
	__u16 port = direction == EGRESS ? key->remote_port : key->local_port;

	if (key->protocol == ICMP || key->protocol == ICMPV6)
		port = 0;
	return look_up(binding >> 32, key->remote_address, key->protocol, port);
}

__inline int is_over(const struct flow *flow, const struct flow_key *key, __u32 now)
{
	__u32 life = flow->closing ? CLOSING : key->protocol == TCP || key->protocol == SCTP ? LONG : SHORT;

	return age(flow->seen, now) > life;
}

/* Whether an ICMP error is about a packet of a flow that is allowed; its sender may be anyone on the way. */
__noinline int is_about_flow(struct __sk_buff *skb, const struct pod *pod, const struct packet *packet, __u32 direction)
{
	struct flow_key key = { .ifindex = packet->key.ifindex };
	__u32 inner = packet->l4 + sizeof(((union l4hdr *)0)->icmp);
	union l4hdr l4 = {};
	struct flow *flow;

	if (packet->key.protocol == ICMP) {
		struct iphdr ip;

		if (skb_load_bytes(skb, inner, &ip, sizeof(ip)) || ntohs(ip.fragment) & IP_OFFSET)
			return 0;
		set_address(key.remote_address, direction == INGRESS ? ip.destination : ip.source);
		key.protocol = ip.protocol;
		inner += (ip.version_ihl & 15) * 4;
	} else {
		struct ipv6hdr ip;

		if (skb_load_bytes(skb, inner, &ip, sizeof(ip)))
			return 0;
		__builtin_memcpy(key.remote_address, direction == INGRESS ? ip.destination : ip.source, 16);
		key.protocol = ip.next_header;
		inner += sizeof(ip);
	}
	if (skb_load_bytes(skb, inner, &l4, sizeof(l4.icmp)))
		return 0;
	if (key.protocol == ICMP || key.protocol == ICMPV6)
		set_echo(&key, &l4, !direction);
	else
		set_ports(&key, l4.ports.source, l4.ports.destination, direction == INGRESS);
	flow = map_lookup(&flows, &key);
	if (!flow || is_over(flow, &key, packet->now))
		return 0;
	if (flow->binding == EXEMPT || flow->binding == pod->binding[flow->direction & 1])
		return 1;
	return judge(pod->binding[flow->direction & 1], &key, flow->direction) & 1;
}

/* Lets through as many events as there should be at most, by a virtual schedule: each one puts the next one off. */
__inline int is_in_pace(__u32 allowed, __u64 time)
{
	__u64 *next = map_lookup(&paces, &allowed);
	__u64 earliest = time - event_interval * event_burst;

	if (!next)
		return 0;
	if ((long long)(*next - earliest) < 0)
		*next = earliest;
	if (*next > time)
		return 0;
	*next += event_interval;
	return 1;
}

/* @verdict: as of look_up. @how: direction, and the reason above it. */
__noinline int report(struct __sk_buff *skb, const struct pod *pod, const struct flow_key *key, __u64 verdict, __u32 how)
{
	__u32 zero = 0, allowed = verdict & 1;
	__u32 source, destination;
	struct counters *counted = map_lookup(&counters, &zero);
	__u8 direction = how & 1;
	__u64 time = ktime_get_ns();
	struct event *event;

	if (!counted)
		return 0;
	if (allowed)
		counted->allowed_flows[direction & 1]++;
	else
		counted->denied_flows[direction & 1]++;
	if (pod->log < (allowed ? LOG_ALL : LOG_DENIED))
		return 0;
	event = is_in_pace(allowed, time) ? ringbuf_reserve(&events, sizeof(*event), 0) : NULL;
	if (!event) {
		counted->lost_events++;
		return 0;
	}
	*event = (struct event){
		.time = time,
		.ifindex = key->ifindex,
		.rule = verdict >> 1,
		.loaded = loaded,
		.protocol = key->protocol,
		.direction = direction,
		.allowed = allowed,
		.reason = how >> 1,
	};
	if (key->protocol != ICMP && key->protocol != ICMPV6) {
		event->source_port = direction == EGRESS ? key->local_port : key->remote_port;
		event->destination_port = direction == EGRESS ? key->remote_port : key->local_port;
	}
	if (skb->protocol == ntohs(ETH_P_IP)) {
		skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, source), &source, 4);
		skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, destination), &destination, 4);
		set_address(event->source, source);
		set_address(event->destination, destination);
	} else {
		skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, source), event->source, 16);
		skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, destination), event->destination, 16);
	}
	ringbuf_submit(event, 0);
	return 0;
}

__inline void refresh(struct flow *flow, const struct packet *packet)
{
	if (flow->seen != packet->now)
		flow->seen = packet->now;
	if (unlikely(packet->closes))
		flow->closing = 1;
	else if (unlikely(packet->opens))
		flow->closing = 0;
}

__inline int is_let_through(struct __sk_buff *skb, const struct pod *pod, const struct packet *packet, __u32 direction)
{
	/* From the node itself, or back to the pod that sent it. */
	int exempt = direction == INGRESS && (!skb->ingress_ifindex || skb->ingress_ifindex == skb->ifindex);
	struct flow *flow = map_lookup(&flows, &packet->key);
	struct flow begun = { .seen = packet->now, .direction = direction };
	__u64 verdict;

	/* Who opens a connection begins a flow, whatever was there before. */
	if (flow && !is_over(flow, &packet->key, packet->now) && !(packet->opens && flow->direction != direction)) {
		__u64 current = pod->binding[flow->direction & 1];

		if (flow->binding == current || (flow->binding == EXEMPT && (direction == EGRESS || exempt))) {
			refresh(flow, packet);
			return 1;
		}
		if (flow->binding != EXEMPT) {
			verdict = judge(current, &packet->key, flow->direction);
			if (verdict & 1) {
				flow->rule = verdict >> 1;
				flow->binding = current;
				refresh(flow, packet);
				return 1;
			}
			/* It stays known who began: the answer to a flow that is denied now begins none. */
			if (!exempt)
				report(skb, pod, &packet->key, verdict, direction);
			return exempt;
		}
	}
	if (packet->error && is_about_flow(skb, pod, packet, direction))
		return 1;
	if (exempt) {
		begun.binding = EXEMPT;
	} else {
		begun.binding = pod->binding[direction];
		verdict = judge(begun.binding, &packet->key, direction);
		report(skb, pod, &packet->key, verdict, direction);
		if (!(verdict & 1))
			return 0;
		begun.rule = verdict >> 1;
	}
	if (!packet->untracked && map_update(&flows, &packet->key, &begun, 0)) {
		__u32 zero = 0;
		struct counters *counted = map_lookup(&counters, &zero);

		if (counted)
			counted->untracked++;
	}
	return 1;
}

/* Pieces of a datagram: the first one is judged, the others share its fate; without it they are no good. */
__noinline int is_fragment_let_through(struct __sk_buff *skb, const struct pod *pod, const struct packet *packet, __u32 direction)
{
	struct fragment_key key = {
		.ifindex = packet->key.ifindex,
		.id = packet->id,
		.protocol = packet->key.protocol,
		.direction = direction,
	};
	__u32 *first;
	int passes;

	__builtin_memcpy(key.remote_address, packet->key.remote_address, sizeof(key.remote_address));
	if (packet->part == LATER) {
		first = map_lookup(&fragments, &key);
		if (first && age(*first, packet->now) <= FRAGMENT_LIFE)
			return 1;
		report(skb, pod, &packet->key, 0, direction | FRAGMENT << 1);
		return 0;
	}
	passes = is_let_through(skb, pod, packet, direction);
	if (passes)
		map_update(&fragments, &key, &packet->now, 0);
	else
		map_delete(&fragments, &key);
	return passes;
}

__inline struct pod *pod_of(__u32 ifindex)
{
	__u32 own = ifindex % MOST_PODS, *place;
	struct pod *pod = map_lookup(&pods, &own);

	if (pod && pod->ifindex == ifindex)
		return pod;
	place = map_lookup(&places, &ifindex);
	return place ? map_lookup(&pods, place) : NULL;
}

__noinline int handle(struct __sk_buff *skb, __u32 direction)
{
	__u32 ifindex = skb->ifindex, zero = 0;
	struct packet packet = { .key.ifindex = ifindex };
	struct counters *counted;
	struct pod *pod;
	int parsed, passes;

	if (skb->protocol != ntohs(ETH_P_IP) && skb->protocol != ntohs(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	pod = pod_of(ifindex);
	counted = map_lookup(&counters, &zero);
	if (!pod || !counted)
		return TC_ACT_UNSPEC;
	parsed = skb->protocol == ntohs(ETH_P_IP) ? parse_ipv4(skb, &packet, direction)
						  : parse_ipv6(skb, &packet, direction);
	packet.now = clock();
	if (unlikely(parsed != READ)) {
		passes = parsed == NEIGHBOURS;
		if (!passes)
			report(skb, pod, &packet.key, 0, direction | MALFORMED << 1);
	} else if (unlikely(packet.part != WHOLE)) {
		passes = is_fragment_let_through(skb, pod, &packet, direction);
	} else {
		passes = is_let_through(skb, pod, &packet, direction);
	}
	if (passes) {
		counted->passed_packets[direction]++;
		return TC_ACT_UNSPEC;
	}
	counted->denied_packets[direction]++;
	return TC_ACT_SHOT;
}

/* Most packets: of a flow of TCP or UDP, neither its first nor its last, that was judged with what binds its pod now. What is asked
 * of each of them costs more than its instructions, since other packets' ways have had the caches in between. */
__inline int is_known(struct __sk_buff *skb, __u32 direction)
{
	const struct iphdr *ip = (const void *)(long)skb->data + ETH_HLEN;
	const union l4hdr *l4 = (const void *)(ip + 1);
	struct flow_key key = { .ifindex = skb->ifindex };
	__u32 own = key.ifindex % MOST_PODS, zero = 0, now = clock();
	struct counters *counted = map_lookup(&counters, &zero);
	struct pod *pod = map_lookup(&pods, &own);
	struct flow *flow;

	if (!counted || !pod || pod->ifindex != key.ifindex || skb->protocol != ntohs(ETH_P_IP))
		return 0;
	if ((const void *)l4 + sizeof(l4->tcp) > (const void *)(long)skb->data_end || ip->version_ihl != 0x45)
		return 0;
	key.protocol = ip->protocol;
	if (ip->fragment & ntohs(IP_MF | IP_OFFSET))
		return 0;
	if (key.protocol == TCP ? l4->tcp.flags & (TCP_SYN | TCP_FIN | TCP_RST) : key.protocol != UDP)
		return 0;
	set_address(key.remote_address, direction == EGRESS ? ip->destination : ip->source);
	set_ports(&key, l4->ports.source, l4->ports.destination, direction == EGRESS);
	flow = map_lookup(&flows, &key);
	if (!flow || is_over(flow, &key, now) || flow->binding != pod->binding[flow->direction & 1])
		return 0;
	if (flow->seen != now)
		flow->seen = now;
	counted->passed_packets[direction]++;
	return 1;
}

SEC("tc") int from_pod(struct __sk_buff *skb)
{
	return is_known(skb, EGRESS) ? TC_ACT_UNSPEC : handle(skb, EGRESS);
}

SEC("tc") int to_pod(struct __sk_buff *skb)
{
	return is_known(skb, INGRESS) ? TC_ACT_UNSPEC : handle(skb, INGRESS);
}
