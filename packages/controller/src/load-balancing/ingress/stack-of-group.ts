/** A group of Ingresses as the application load balancer that it asks for. */
import { type Ingress, keyOf } from '@enid/kube';
import { InvalidObject } from '../model/errors.ts';
import { resourceName, stackName } from '../model/identity.ts';
import {
  type ActionSpec,
  emptyStack,
  type ListenerSpec,
  type LoadBalancerSpec,
  type RuleSpec,
  type SecurityGroupRef,
  type SecurityGroupRule,
  type SecurityGroupSpec,
  type Stack,
  type Tags,
  type TargetGroupSpec,
} from '../model/stack.ts';
import { resolveSecurityGroups } from '../security-groups.ts';
import { resolveSubnets } from '../subnets.ts';
import { blame, type RefusedByAws } from './blame.ts';
import { refuseConflicts } from './conflicts.ts';
import { byName, hasBeen, type IngressStackId, membersOf, protectionOf } from './groups.ts';
import { type MemberRule, type ReadMember, readMember } from './member.ts';
import { admitEach, blaming, Refusal, refuse } from './refusal.ts';
import { isLoop, withoutDead } from './rules.ts';
import type { GroupStack, IngressWorld, Problem } from './world.ts';

/**
 * What a group asks for. An Ingress that is wrong, or that does not go together with older ones of its group, is left out and told
 * of, and the others are served.
 * @param refused by `namespace/name`: Ingresses that the group is to go on without, since AWS does not do what they ask for.
 * @throws {AwsError} when the account cannot be asked.
 */
export async function stackOfGroup(
  id: IngressStackId,
  world: IngressWorld,
  refused: ReadonlyMap<string, RefusedByAws> = new Map(),
): Promise<GroupStack> {
  const group = membersOf(id, world);
  const problems: Problem[] = [...group.problems];
  let read: ReadMember[] = [];
  for (const member of group.members) {
    const refusal = refused.get(keyOf(member.ingress));
    if (refusal) {
      problems.push({ ingress: member.ingress, error: refusal });
      continue;
    }
    try {
      read.push(await readMember(id, member, world));
    } catch (error) {
      if (!(error instanceof InvalidObject)) throw error;
      problems.push({ ingress: member.ingress, error });
    }
  }
  for (;;) {
    try {
      const { stack, whose } =
        read.length > 0
          ? await compose(id, read, world)
          : { stack: nobodys(id, group.leaving, problems, world) };
      for (const { ingress, problems: told } of read)
        problems.push(...told.map((error) => ({ ingress, error })));
      const members = read.map(({ ingress }) => ingress);
      return { stack, members, leaving: group.leaving, problems, ...(whose && { blame: whose }) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { refused } = error;
      problems.push(...refused.map(({ member, problem }) => ({ ingress: member.ingress, error: problem })));
      read = read.filter((other) => !refused.some(({ member }) => member === other));
    }
  }
}

/** Without an Ingress that is right all goes, unless one has been served that is to be mended: that one's stays. */
function nobodys(
  id: IngressStackId,
  leaving: readonly Ingress[],
  problems: readonly Problem[],
  world: IngressWorld,
): Stack | undefined {
  if (problems.some(({ ingress }) => hasBeen(ingress, id))) return undefined;
  const said = new Set(leaving.map((ingress) => protectionOf(ingress, world)));
  const isLifted = said.has('false') && !said.has('true');
  return { ...emptyStack(id), ...(isLifted && { liftsProtection: true }) };
}

type Placed = MemberRule & { readonly member: ReadMember };

/** @param members in the order of their rules. @throws {Refusal} */
async function compose(
  id: IngressStackId,
  members: readonly ReadMember[],
  world: IngressWorld,
): Promise<{ readonly stack: Stack; readonly whose?: NonNullable<GroupStack['blame']> }> {
  const byAge = members.toSorted(older);
  refuseConflicts(byAge);
  const sslRedirect = redirectOf(byAge);
  const ports = [...new Set(members.flatMap(({ settings }) => [...settings.listeners.keys()]))];
  const listeners = ports
    .toSorted((a, b) => a - b)
    .map((port) => listenerOf(port, sslRedirect, members, world));
  await refuseExcess(id, byAge, listeners, world);

  const used = new Set(listeners.flatMap(({ spec }) => groupsOf(actionsOf(spec))));
  const all = members.flatMap(({ targetGroups }) => [...targetGroups.values()]);
  const loadBalancer = await loadBalancerOf(
    id,
    byAge,
    listeners.map(({ spec }) => spec),
    world,
  );
  const isManaged = loadBalancer.securityGroups.some((group) => 'managed' in group);
  const hasBackend = loadBalancer.securityGroups.some((group) => 'backend' in group);
  const stack: Stack = {
    id,
    loadBalancer,
    ...(isManaged && { securityGroup: securityGroupOf(id, byAge, ports, loadBalancer.tags, world) }),
    targetGroups: all
      .filter((group) => used.has(group.id))
      .map((group) => (hasBackend ? group : withoutNetworking(group))),
  };
  return { stack, whose: (change, error) => blame(change, error, { byAge, listeners })?.ingress };
}

/** By age, so that what has long been served is not broken by what comes. */
function older({ ingress: a }: ReadMember, { ingress: b }: ReadMember): number {
  const [one, other] = [a, b].map(({ metadata }) => Date.parse(metadata?.creationTimestamp ?? '') || 0);
  return one! - other! || byName(a, b);
}

/** The port that all HTTP listeners redirect to. */
function redirectOf(byAge: readonly ReadMember[]): number | undefined {
  const asking = byAge.find(({ settings }) => settings.sslRedirect !== undefined);
  const port = asking?.settings.sslRedirect;
  if (!asking || port === undefined) return undefined;
  const protocol = byAge.map(({ settings }) => settings.listeners.get(port)?.protocol).find(Boolean);
  if (protocol === 'HTTPS') return port;
  const what = protocol ? `is a listener of ${protocol}` : 'is no listener';
  refuse(
    asking,
    `redirects to port ${port} (ssl-redirect), which ${what}: have {"HTTPS": ${port}} in listen-ports`,
  );
}

type Listener = { readonly spec: ListenerSpec; readonly rules: readonly Placed[] };

function listenerOf(
  port: number,
  sslRedirect: number | undefined,
  group: readonly ReadMember[],
  { defaults }: IngressWorld,
): Listener {
  const members = group.filter(({ settings }) => settings.listeners.has(port));
  const settings = members.map((member) => member.settings.listeners.get(port)!);
  const { protocol } = settings[0]!;
  const isRedirected = protocol === 'HTTP' && sslRedirect !== undefined;
  const placed = members.flatMap((member) => member.rules.map((rule): Placed => ({ ...rule, member })));
  const rules = isRedirected
    ? []
    : withoutDead(placed.filter(({ conditions, action }) => !isLoop(conditions, action, { protocol, port })));
  const certificates = [...new Set(settings.flatMap(({ certificates }) => certificates))];
  if (protocol === 'HTTPS' && certificates.length === 0) {
    const member = members.toSorted(older)[0]!;
    refuse(
      member,
      `listens to HTTPS on port ${port} without a certificate: name one by certificate-arn, or write hosts for which ACM has one`,
    );
  }
  const tags: Tags = Object.assign({}, ...members.map((member) => member.settings.tags));
  const defaultAction = members.map((member) => member.defaultAction).find(Boolean) ?? NOT_FOUND;
  const spec: ListenerSpec = {
    protocol,
    port,
    certificates,
    ...(protocol === 'HTTPS' && {
      sslPolicy: settings.map(({ sslPolicy }) => sslPolicy).find(Boolean) ?? defaults.sslPolicy,
    }),
    attributes: Object.assign({}, ...settings.map(({ attributes }) => attributes)),
    defaultActions: [isRedirected ? toHttps(sslRedirect) : defaultAction],
    rules: rules.map(
      ({ conditions, action, member }): RuleSpec => ({
        conditions,
        actions: [action],
        tags: member.settings.tags,
      }),
    ),
    tags,
  };
  return { spec, rules };
}

const NOT_FOUND: ActionSpec = { type: 'fixed-response', statusCode: '404', contentType: 'text/plain' };
const toHttps = (port: number): ActionSpec => ({
  type: 'redirect',
  protocol: 'HTTPS',
  port: `${port}`,
  statusCode: 'HTTP_301',
});

/** What does not fit into one load balancer any more is the youngest Ingress's to mend. */
async function refuseExcess(
  id: IngressStackId,
  byAge: readonly ReadMember[],
  listeners: readonly Listener[],
  { account }: IngressWorld,
): Promise<void> {
  const limits = await account.limits();
  const specs = listeners.map(({ spec }) => spec);
  const rulesOf = Map.groupBy(
    listeners.flatMap(({ rules }) => rules),
    ({ member }) => member,
  );
  const extra = new Set(
    specs.flatMap(({ port, certificates }) => certificates.slice(1).map((arn) => `${port} ${arn}`)),
  );
  const resources: readonly [what: string, limit: number, of: (member: ReadMember) => Iterable<unknown>][] = [
    ['listeners', limits.listeners, ({ settings }) => settings.listeners.keys()],
    ['rules', limits.rules, (member) => rulesOf.get(member) ?? []],
    [
      'target groups',
      limits.targetGroups,
      (member) =>
        groupsOf([
          ...(rulesOf.get(member) ?? []).map(({ action }) => action),
          ...(member.defaultAction ? [member.defaultAction] : []),
        ]),
    ],
    [
      'certificates',
      limits.certificates,
      ({ settings }) =>
        [...settings.listeners].flatMap(([port, { certificates }]) =>
          certificates.map((arn) => `${port} ${arn}`).filter((each) => extra.has(each)),
        ),
    ],
  ];
  const taken = new Map(resources.map(([what]) => [what, new Set<unknown>()]));
  admitEach(byAge, (member) => {
    for (const [what, limit, of] of resources) {
      const more = new Set(of(member)).difference(taken.get(what)!);
      const count = taken.get(what)!.size + more.size;
      if (count > limit)
        return `the load balancer of group ${stackName(id)} would have ${count} ${what}, ${more.size} of them by this Ingress: AWS allows ${limit}; put it into another group`;
    }
    for (const [what, , of] of resources) for (const each of of(member)) taken.get(what)!.add(each);
    return undefined;
  });
}

const actionsOf = ({ defaultActions, rules }: ListenerSpec) => [
  ...defaultActions,
  ...rules.flatMap(({ actions }) => actions),
];

/** The ids and ARNs of the target groups that actions forward to. */
const groupsOf = (actions: readonly ActionSpec[]): string[] =>
  actions.flatMap((action) =>
    action.type === 'forward'
      ? action.targetGroups.map(({ group }) => ('id' in group ? group.id : group.arn))
      : [],
  );

async function loadBalancerOf(
  id: IngressStackId,
  byAge: readonly ReadMember[],
  listeners: readonly ListenerSpec[],
  { account, defaults }: IngressWorld,
): Promise<LoadBalancerSpec> {
  const settings = byAge.map((member) => member.settings);
  const scheme = settings.map((each) => each.scheme).find(Boolean) ?? 'internal';
  const name =
    settings.map((each) => each.name).find(Boolean) ??
    resourceName(id, [defaults.clusterName, stackName(id), scheme]);

  // Whoever says where it is to stand is the one to mend that, and nobody else.
  const placing =
    byAge.find((member) => member.settings.subnets.tags || member.settings.subnets.named.names.length > 0) ??
    byAge[0]!;
  const present = await account.loadBalancerOf(id);
  const subnets = await blaming(placing, () =>
    resolveSubnets(account, defaults.clusterName, {
      scheme,
      ...placing.settings.subnets,
      present: present?.scheme === scheme ? present.subnetIds : undefined,
      zones: 2,
    }),
  );
  const guarding = byAge.find((member) => member.settings.securityGroups.names.length > 0);
  const groups =
    guarding &&
    (await blaming(guarding, () => resolveSecurityGroups(account, guarding.settings.securityGroups)));
  const withBackend = !groups || settings.some((each) => each.manageBackendRules);
  const securityGroups: SecurityGroupRef[] = [
    ...(groups?.map((id) => ({ id })) ?? [{ managed: true } as const]),
    ...(withBackend ? [{ backend: true } as const] : []),
  ];
  return {
    name,
    type: 'application',
    scheme,
    subnets: subnets.map((subnet) => ({ subnetId: subnet.id })),
    securityGroups,
    attributes: Object.assign({}, ...settings.map((each) => each.attributes)),
    listeners,
    tags: Object.assign({}, ...settings.map((each) => each.tags)),
  };
}

/** The front end's group: whom the listeners let in, everybody where no Ingress says. */
function securityGroupOf(
  id: IngressStackId,
  members: readonly ReadMember[],
  ports: readonly number[],
  tags: Tags,
  { defaults }: IngressWorld,
): SecurityGroupSpec {
  const ingress = ports.flatMap((port) => {
    const said = members.map(({ settings }) => settings.listeners.get(port)?.inbound).find(Boolean);
    const { cidrs, prefixLists } = said ?? { cidrs: ['0.0.0.0/0'], prefixLists: [] };
    const from = [
      ...cidrs.map((cidr) => ({ cidr })),
      ...prefixLists.map((prefixListId) => ({ prefixListId })),
    ];
    return from.map((from): SecurityGroupRule => ({ protocol: 'tcp', ports: [port, port], from }));
  });
  return {
    name: resourceName(id, [defaults.clusterName, stackName(id)]),
    description: '[k8s] Managed SecurityGroup for LoadBalancer',
    ingress,
    tags,
  };
}

const withoutNetworking = (group: TargetGroupSpec): TargetGroupSpec => ({
  ...group,
  binding: { ...group.binding, networking: [] },
});
