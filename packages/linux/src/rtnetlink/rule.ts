import { type Cidr, familyOf, networkOf, prefixLength } from '@enid/ip';
import { Attributes, type MessageWriter, structure } from '../netlink/attributes.ts';
import { buildRequest, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, type Request } from '../netlink/message.ts';
import { defined, familyName, familyNumber, Names, readBlock, writeLinkName } from './values.ts';

export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FIB_RULE_HDR_LENGTH = 12;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;
const FIB_RULE_INVERT = 2;
const NO_SUPPRESSION = 0xffffffff;

const actions = new Names({ table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 });

/** What a rule does with a packet that it matches; `table` looks the packet up in a routing table. */
export type RuleAction = 'table' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit' | number;

/** Ports from `start` to `end`, both included. */
export type PortRange = { start: number; end: number };

/**
 * A routing policy rule to make or to delete. What is absent of the selectors matches everything. Not among them are
 * ToS, user ids, tunnel ids, realms and l3mdev.
 */
export type RuleSpec = {
  /** Rules are tried from the lowest. */
  priority: number;
  family: 4 | 6;
  from?: Cidr;
  to?: Cidr;
  /** Name of the link that the packet came by; `lo` for what this machine sends. */
  iif?: string;
  /** Name of the link that the sending socket is bound to. */
  oif?: string;
  fwmark?: number;
  /** Which bits of the mark count: all unless given. */
  fwmask?: number;
  /** IP protocol number: 6 for TCP. */
  ipProtocol?: number;
  sourcePorts?: PortRange;
  destinationPorts?: PortRange;
  /** Matches what the selectors do not match. */
  invert?: boolean;
  /** `table` unless given. */
  action?: RuleAction;
  /** The routing table of action `table`. */
  table?: number;
  /** The priority of the rule to go on with, of action `goto`. */
  goto?: number;
  /** Ignores the routes found whose prefix has this length or less. */
  suppressPrefixLength?: number;
  /** Who made it (RTPROT_*): 2 the kernel, 3 (boot) unless given. */
  protocol?: number;
};

/** A rule as the kernel shows it; RTM_NEWRULE, ip-rule(8). */
export type Rule = RuleSpec & { action: RuleAction; protocol: number };

const PROTOCOL_BOOT = 3;

/** Makes a rule (RTM_NEWRULE). EEXIST when there is the same. */
export function addRule(rule: RuleSpec): Request {
  const { action = 'table', protocol = PROTOCOL_BOOT } = rule;
  return ruleRequest('RTM_NEWRULE', RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, { ...rule, action, protocol });
}

/** Deletes the first rule that has all of the given properties (RTM_DELRULE); ENOENT when there is none. */
export function deleteRule(rule: RuleSpec): Request {
  return ruleRequest('RTM_DELRULE', RTM_DELRULE, 0, rule);
}

/** Asks for all rules, or those of a family. */
export function dumpRules(family?: 4 | 6): Request {
  return buildRequest('RTM_GETRULE', RTM_GETRULE, NLM_F_DUMP, (writer) => {
    writer.u8(familyNumber(family)).raw(new Uint8Array(FIB_RULE_HDR_LENGTH - 1));
  });
}

/**
 * Reads the payload of an RTM_NEWRULE or RTM_DELRULE.
 * @returns undefined for a rule that is not of IP: multicast routing has its own.
 * @throws {MalformedMessageError}
 */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const header = structure(payload, FIB_RULE_HDR_LENGTH);
  const family = familyName(header.getUint8(0));
  if (!family) return undefined;
  const attributes = new Attributes(payload, FIB_RULE_HDR_LENGTH);
  const action = actions.name(header.getUint8(7));
  const suppress = attributes.u32(FRA_SUPPRESS_PREFIXLEN);
  return defined({
    priority: attributes.u32(FRA_PRIORITY) ?? 0,
    family,
    from: readBlock(attributes.ip(FRA_SRC), header.getUint8(2)),
    to: readBlock(attributes.ip(FRA_DST), header.getUint8(1)),
    iif: attributes.string(FRA_IIFNAME),
    oif: attributes.string(FRA_OIFNAME),
    fwmark: attributes.u32(FRA_FWMARK),
    fwmask: attributes.u32(FRA_FWMASK),
    ipProtocol: attributes.u8(FRA_IP_PROTO),
    sourcePorts: readRange(attributes.bytes(FRA_SPORT_RANGE)),
    destinationPorts: readRange(attributes.bytes(FRA_DPORT_RANGE)),
    invert: (header.getUint32(8, true) & FIB_RULE_INVERT) !== 0 || undefined,
    action,
    table: action === 'table' ? (attributes.u32(FRA_TABLE) ?? header.getUint8(4)) : undefined,
    goto: attributes.u32(FRA_GOTO),
    suppressPrefixLength: suppress === NO_SUPPRESSION ? undefined : suppress,
    protocol: attributes.u8(FRA_PROTOCOL) ?? 0,
  });
}

function ruleRequest(name: string, type: number, flags: number, rule: RuleSpec): Request {
  const { priority, family, from, to, table } = rule;
  const description = `${name} ${priority} from ${from ?? 'all'}${to ? ` to ${to}` : ''} table ${table ?? 'none'}`;
  return buildRequest(description, type, flags, (writer) => {
    for (const block of [from, to]) {
      if (block && familyOf(block) !== family) throw new TypeError(`${block} is not of IPv${family}`);
    }
    writer
      .u8(familyNumber(family))
      .u8(to ? prefixLength(to) : 0)
      .u8(from ? prefixLength(from) : 0)
      .u8(0)
      .u8(0)
      .u8(0)
      .u8(0)
      .u8(rule.action === undefined ? 0 : actions.number(rule.action))
      .u32(rule.invert ? FIB_RULE_INVERT : 0);
    writer.attributeU32(FRA_PRIORITY, priority);
    writer.attributeIp(FRA_SRC, from && networkOf(from));
    writer.attributeIp(FRA_DST, to && networkOf(to));
    writeLinkName(writer, FRA_IIFNAME, rule.iif);
    writeLinkName(writer, FRA_OIFNAME, rule.oif);
    writer.attributeU32(FRA_FWMARK, rule.fwmark);
    writer.attributeU32(FRA_FWMASK, rule.fwmask);
    writer.attributeU8(FRA_IP_PROTO, rule.ipProtocol);
    writeRange(writer, FRA_SPORT_RANGE, rule.sourcePorts);
    writeRange(writer, FRA_DPORT_RANGE, rule.destinationPorts);
    writer.attributeU32(FRA_TABLE, table);
    writer.attributeU32(FRA_GOTO, rule.goto);
    writer.attributeU32(FRA_SUPPRESS_PREFIXLEN, rule.suppressPrefixLength);
    writer.attributeU8(FRA_PROTOCOL, rule.protocol);
  });
}

/** struct fib_rule_port_range, in the machine's byte order. */
function writeRange(writer: MessageWriter, type: number, range: PortRange | undefined): void {
  if (range) writer.attribute(type, () => writer.u16(range.start).u16(range.end));
}

function readRange(bytes: Uint8Array | undefined): PortRange | undefined {
  if (!bytes) return undefined;
  const range = structure(bytes, 4);
  return { start: range.getUint16(0, true), end: range.getUint16(2, true) };
}
