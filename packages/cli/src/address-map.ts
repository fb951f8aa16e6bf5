/** The address map as people read it. */
import type { AddressMap, MappedAddress, MappedEni, MappedSlot } from '@enid/agent';
import { table } from './table.ts';

export type MapView = {
  /** Show states in colour: for terminals. */
  readonly colours: boolean;
  /** `NAMESPACE/NAME`: only what this pod holds. */
  readonly pod?: string | undefined;
};

const COLOURS: Readonly<Record<string, number>> = {
  assigned: 32,
  warm: 36,
  cooling: 33,
  cordoned: 35,
  draining: 33,
  leaving: 33,
  foreign: 90,
  'not in use': 90,
  primary: 90,
  'cut off': 31,
};

/** Lines for a terminal: the node, then each ENI with its addresses. */
export function drawMap(map: AddressMap, { colours, pod }: MapView): string {
  const { counts, limits, mode } = map;
  const kind = mode === 'prefix' ? 'prefixes' : 'single addresses';
  const enis = map.enis.filter((eni) => eni.state !== 'foreign').length;
  const numbers = (['assigned', 'warm', 'cooling', 'cordoned', 'draining'] as const)
    .filter((name) => counts[name] > 0 || name === 'assigned' || name === 'warm')
    .map((name) => `${counts[name]} ${name}`);
  const lines = [
    `${map.node} (${map.instanceType}): ${kind}, ${enis} of ${limits.enis} ENIs, ${counts.total} addresses: ${numbers.join(', ')}`,
  ];
  const rows: string[][] = [['ADDRESS', 'STATE', 'POD', 'DETAIL']];
  const heads = new Map<number, string>();
  const now = Date.parse(map.at);
  for (const eni of map.enis) {
    const found = eniRows(eni, now).filter((row) => pod === undefined || row[2] === pod);
    if (pod !== undefined && found.length === 0) continue;
    heads.set(rows.length, head(eni));
    rows.push(...found);
  }
  const cutOff = map.cutOff
    .map((each) => row(each, now))
    .filter((each) => pod === undefined || each[2] === pod);
  if (cutOff.length > 0) heads.set(rows.length, 'on no ENI any more');
  rows.push(...cutOff);
  // Columns are aligned over all ENIs; the head of each stands between.
  const drawn = table(rows).split('\n');
  rows.forEach((cells, at) => {
    const title = heads.get(at);
    if (title) lines.push('', title);
    if (at > 0 || pod !== undefined || rows.length > 1) lines.push(coloured(drawn[at]!, cells[1]!, colours));
  });
  if (map.attaching !== undefined && pod === undefined)
    lines.push(
      '',
      `an ENI with ${map.attaching} ${mode === 'prefix' ? 'prefixes' : 'addresses'} is being attached`,
    );
  if (map.cordoned.length > 0) lines.push('', `cordoned: ${map.cordoned.join(', ')}`);
  return lines.join('\n');
}

/** Whether the pod holds an address. */
export const holds = (map: AddressMap, pod: string): boolean =>
  [...map.enis.flatMap(({ slots }) => slots.flatMap(addresses)), ...map.cutOff].some(
    (each) => podOf(each) === pod,
  );

const addresses = (slot: MappedSlot): readonly MappedAddress[] =>
  slot.kind === 'prefix' ? slot.addresses : [slot];

const podOf = ({ namespace = '', pod }: MappedAddress): string => (pod ? `${namespace}/${pod}` : '');

function head({ id, device, networkCard, state, subnet, room }: MappedEni): string {
  const free = subnet?.free === undefined ? '' : `, ${subnet.free} addresses free`;
  const card = networkCard > 0 ? `card ${networkCard}, ` : '';
  const where = subnet ? `${subnet.id} (${subnet.cidr}${free})` : 'not in metadata';
  const places = state === 'foreign' || state === 'not in use' ? '' : `, room for ${room} more`;
  return `${id}  ${card}device ${device}, ${where}, ${state}${places}`;
}

function eniRows({ primaryIp, slots, state, beingAssigned }: MappedEni, now: number): string[][] {
  const rows = slots.flatMap((slot) => slotRows(slot, now));
  if (primaryIp)
    rows.unshift([primaryIp, state === 'foreign' ? 'foreign' : 'primary', '', "the ENI's own address"]);
  if (beingAssigned > 0) rows.push(['', 'being assigned', '', `${beingAssigned} asked of EC2`]);
  return rows;
}

/** What an address of a prefix may be without a line of its own. All of a prefix are the same one of these, or in use. */
const QUIET = ['warm', 'draining', 'foreign', 'not in use'] as const;

/** A prefix is one line, and one for each of its addresses that is not quiet. */
function slotRows(slot: MappedSlot, now: number): string[][] {
  if (slot.kind === 'address') return [row(slot, now)];
  const quiet = QUIET.find((each) => slot.addresses.some(({ state }) => state === each)) ?? 'warm';
  const others = slot.addresses.filter(({ state }) => state !== quiet);
  const rest = slot.addresses.length - others.length;
  return [
    [slot.cidr, 'prefix', '', `${rest} of ${slot.addresses.length} ${quiet}`],
    ...others.map((each) => row(each, now)),
  ];
}

function row(entry: MappedAddress, now: number): string[] {
  const { address, state, containerId = '', until, since, cordoned } = entry;
  const seconds = until ? Math.ceil((Date.parse(until) - now) / 1000) : 0;
  const details = [
    until && `until ${until.slice(11, 19)}Z (${seconds} s)`,
    since && `since ${since.slice(0, 19)}Z`,
    containerId && `sandbox ${containerId.slice(0, 12)}`,
    cordoned && 'cordoned',
  ];
  return [address, state, podOf(entry), details.filter(Boolean).join(', ')];
}

function coloured(line: string, state: string, colours: boolean): string {
  const code = COLOURS[state];
  if (!colours || code === undefined) return line;
  return line.replace(state, `\u001b[${code}m${state}\u001b[0m`);
}
