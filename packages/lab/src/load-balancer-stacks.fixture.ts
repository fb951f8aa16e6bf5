/** For tests: stacks as the controller works them out, and any of them for property tests. */
import {
  type ActionSpec,
  type ConditionSpec,
  type ListenerSpec,
  type RuleSpec,
  resourceName,
  type Stack,
  type TargetGroupSpec,
} from '@enid/controller/load-balancing';
import type { Ipv4Cidr } from '@enid/ip';
import fc from 'fast-check';

export const ALB = { kind: 'ingress', namespace: 'shop', name: 'web' } as const;
export const NLB = { kind: 'service', namespace: 'shop', name: 'dns' } as const;

export type Subnets = { readonly subnetId: string; readonly otherSubnetId: string };
/** What of an account load balancers may have. */
export type Site = Subnets & {
  /** ARNs. */
  readonly certificates: readonly string[];
  /** A security group of the user's. */
  readonly groupId: string;
};

export function targetGroup(service: string, more: Partial<TargetGroupSpec> = {}): TargetGroupSpec {
  const spec = { targetType: 'ip', protocol: 'HTTP', port: 80, ...more } as const;
  const id = `shop/web-${service}:80`;
  return {
    id,
    name: resourceName({ namespace: 'shop', name: service }, [
      id,
      spec.targetType,
      spec.protocol,
      String(spec.port),
    ]),
    healthCheck: {
      protocol: 'HTTP',
      port: 'traffic-port',
      path: '/',
      matcher: '200',
      intervalSeconds: 15,
      timeoutSeconds: 5,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    },
    attributes: {},
    tags: {},
    binding: {
      namespace: 'shop',
      service: { name: service, port: 80 },
      networking: [
        { from: [{ securityGroup: { backend: true } }], ports: [{ protocol: 'TCP', port: 8080 }] },
      ],
    },
    ...spec,
  };
}

export const forward = (...services: string[]): ActionSpec => ({
  type: 'forward',
  targetGroups: services.map((service) => ({ group: { id: `shop/web-${service}:80` } })),
});

export const pathRule = (path: string, ...actions: ActionSpec[]): RuleSpec => ({
  conditions: [{ field: 'path-pattern', values: [path] }],
  actions,
  tags: {},
});

export const notFound: ActionSpec = {
  type: 'fixed-response',
  statusCode: '404',
  contentType: 'text/plain',
};

export function listener(
  port: number,
  rules: readonly RuleSpec[],
  more: Partial<ListenerSpec> = {},
): ListenerSpec {
  return {
    protocol: 'HTTP',
    port,
    certificates: [],
    attributes: {},
    defaultActions: [notFound],
    rules,
    tags: {},
    ...more,
  };
}

/** An application load balancer with the target groups that its listeners forward to. */
export function application(
  { subnetId, otherSubnetId }: Subnets,
  listeners: readonly ListenerSpec[],
  more: Partial<NonNullable<Stack['loadBalancer']>> = {},
  groups: Partial<TargetGroupSpec> = {},
): Stack {
  const scheme = more.scheme ?? 'internal';
  const name = resourceName({ namespace: 'shop', name: 'web' }, ['application', scheme]);
  const actions = listeners.flatMap(({ defaultActions, rules }) => [
    ...defaultActions,
    ...rules.flatMap((rule) => rule.actions),
  ]);
  const services = new Set(
    actions.flatMap((action) =>
      action.type === 'forward'
        ? action.targetGroups.map(({ group }) => ('id' in group ? group.id : '').slice(9, -3))
        : [],
    ),
  );
  return {
    id: ALB,
    securityGroup: {
      name,
      description: '[k8s] Managed SecurityGroup for LoadBalancer',
      ingress: listeners.map(({ port }) => ({
        protocol: 'tcp',
        ports: [port, port],
        from: { cidr: '0.0.0.0/0' },
      })),
      tags: {},
    },
    loadBalancer: {
      name,
      type: 'application',
      scheme,
      subnets: [{ subnetId }, { subnetId: otherSubnetId }],
      securityGroups: [{ managed: true }, { backend: true }],
      attributes: {},
      listeners,
      tags: {},
      ...more,
    },
    targetGroups: [...services].sort().map((service) => targetGroup(service, groups)),
  };
}

/** As one of a load balancer that checks by TCP. */
const TCP_CHECK = {
  protocol: 'TCP',
  port: 'traffic-port',
  intervalSeconds: 10,
  timeoutSeconds: 10,
  healthyThreshold: 3,
  unhealthyThreshold: 3,
} as const;

/** A network load balancer of TCP and UDP. */
export function network({ subnetId, otherSubnetId }: Subnets): Stack {
  const name = resourceName({ namespace: 'shop', name: 'dns' }, ['network', 'internal']);
  const healthCheck = TCP_CHECK;
  const group = (port: number, protocol: 'TCP' | 'UDP'): TargetGroupSpec => ({
    id: `shop/dns:${port}`,
    name: resourceName({ namespace: 'shop', name: 'dns' }, [String(port), protocol]),
    targetType: 'ip',
    protocol,
    port,
    healthCheck,
    attributes: { 'deregistration_delay.timeout_seconds': '30' },
    tags: { team: 'net' },
    binding: {
      namespace: 'shop',
      service: { name: 'dns', port },
      networking: [{ from: [{ cidr: '10.0.0.0/16' as Ipv4Cidr }], ports: [{ protocol, port }] }],
    },
  });
  const of = (port: number, protocol: 'TCP' | 'UDP'): ListenerSpec => ({
    protocol,
    port,
    certificates: [],
    attributes: {},
    defaultActions: [{ type: 'forward', targetGroups: [{ group: { id: `shop/dns:${port}` } }] }],
    rules: [],
    tags: {},
  });
  return {
    id: NLB,
    loadBalancer: {
      name,
      type: 'network',
      scheme: 'internal',
      subnets: [{ subnetId }, { subnetId: otherSubnetId }],
      securityGroups: [],
      attributes: { 'load_balancing.cross_zone.enabled': 'true' },
      listeners: [of(53, 'UDP'), of(54, 'TCP')],
      tags: { team: 'net' },
    },
    targetGroups: [group(53, 'UDP'), group(54, 'TCP')],
  };
}

const service = fc.constantFrom('a', 'b', 'c', 'd');
const anyAction: fc.Arbitrary<ActionSpec> = fc.oneof(
  service.map((name) => forward(name)),
  fc.tuple(fc.uniqueArray(service, { minLength: 2 }), fc.integer({ min: 1, max: 9 })).map(
    ([names, weight]): ActionSpec => ({
      type: 'forward',
      targetGroups: names.map((name) => ({ group: { id: `shop/web-${name}:80` }, weight })),
      stickinessSeconds: 60,
    }),
  ),
  fc.constant<ActionSpec>({ type: 'redirect', statusCode: 'HTTP_301', protocol: 'HTTPS', port: '443' }),
  fc
    .constantFrom('200', '404', '503')
    .map((statusCode): ActionSpec => ({ ...notFound, statusCode }) as ActionSpec),
);
const anyCondition: fc.Arbitrary<ConditionSpec> = fc.oneof(
  fc
    .uniqueArray(fc.constantFrom('/a', '/b', '/c', '/c/*', '/*'), { minLength: 1, maxLength: 2 })
    .map((values): ConditionSpec => ({ field: 'path-pattern', values })),
  fc
    .constantFrom('a.example.com', '*.example.com')
    .map((value): ConditionSpec => ({ field: 'host-header', values: [value] })),
  fc.constant<ConditionSpec>({ field: 'http-header', name: 'x-canary', values: ['1', '2'] }),
  fc.constant<ConditionSpec>({ field: 'query-string', values: [{ key: 'v', value: '2' }, { value: 'x' }] }),
  fc.constant<ConditionSpec>({ field: 'source-ip', values: ['10.1.0.0/16'] }),
  fc.constant<ConditionSpec>({ field: 'http-request-method', values: ['GET', 'HEAD'] }),
);
const anyTags = fc.dictionary(fc.constantFrom('team', 'stage'), fc.constantFrom('one', 'two'));
const anyRule: fc.Arbitrary<RuleSpec> = fc.record({
  conditions: fc.uniqueArray(anyCondition, { minLength: 1, maxLength: 2, selector: ({ field }) => field }),
  actions: anyAction.map((action) => [action]),
  tags: anyTags,
});
/** What listeners of TLS have, the default certificate first. */
const anySecurity = ({ certificates }: Site) =>
  fc.record({
    certificates: fc.shuffledSubarray([...certificates], { minLength: 1 }),
    sslPolicy: fc.constantFrom('ELBSecurityPolicy-2016-08', 'ELBSecurityPolicy-TLS13-1-2-2021-06'),
  });
const anyListener = (site: Site, port: number): fc.Arbitrary<ListenerSpec> =>
  fc
    .record({
      rules: fc.array(anyRule, { maxLength: 6 }),
      action: anyAction,
      tags: anyTags,
      server: fc.constantFrom('true', 'false'),
      security: fc.option(anySecurity(site)),
    })
    .map(({ rules, action, tags, server, security }) =>
      listener(port, rules, {
        defaultActions: [action],
        tags,
        attributes: { 'routing.http.response.server.enabled': server },
        ...(security && { protocol: 'HTTPS', ...security }),
      }),
    );

/** Any load balancer, or none. */
export const anyStack = (site: Site): fc.Arbitrary<Stack> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant<Stack>({ id: ALB, targetGroups: [] }) },
    { weight: 4, arbitrary: anyNetwork(site) },
    {
      weight: 6,
      arbitrary: fc
        .record({
          listeners: fc
            .subarray([80, 81, 8080], { minLength: 1 })
            .chain((ports) => fc.tuple(...ports.map((port) => anyListener(site, port)))),
          groups: anyGroups(site),
          scheme: fc.constantFrom('internal', 'internal', 'internet-facing'),
          idle: fc.constantFrom('60', '90'),
          tags: anyTags,
          port: fc.constantFrom(80, 80, 8080),
          path: fc.constantFrom('/', '/healthz'),
          delay: fc.constantFrom('300', '10'),
        })
        .map(({ listeners, groups, scheme, idle, tags, port, path, delay }) => {
          const { healthCheck } = targetGroup('a');
          return application(
            site,
            listeners,
            {
              scheme: scheme as 'internal',
              securityGroups: groups,
              tags,
              attributes: { 'idle_timeout.timeout_seconds': idle },
            },
            {
              port,
              tags,
              healthCheck: { ...healthCheck, path },
              attributes: { 'deregistration_delay.timeout_seconds': delay },
            },
          );
        }),
    },
  );

/** Our groups, with one of the user's or without. */
const anyGroups = ({ groupId }: Site) =>
  fc.constantFrom(
    [{ managed: true }, { backend: true }] as const,
    [{ managed: true }, { backend: true }, { id: groupId }] as const,
  );

/** Any network load balancer, in place of the application load balancer. */
function anyNetwork(site: Site): fc.Arbitrary<Stack> {
  const any = fc.record({
    protocols: fc.tuple(
      ...[80, 81, 8080].map((port) =>
        fc.tuple(fc.constant(port), fc.constantFrom('TCP' as const, 'TLS' as const, 'UDP' as const)),
      ),
    ),
    count: fc.integer({ min: 1, max: 3 }),
    security: anySecurity(site),
    alpnPolicy: fc.constantFrom('None', 'HTTP2Preferred'),
    groups: fc.oneof(fc.constant([]), anyGroups(site)),
    zones: fc.constantFrom([site.subnetId], [site.subnetId, site.otherSubnetId]),
    tags: anyTags,
    crossZone: fc.constantFrom('true', 'false'),
    delay: fc.constantFrom('300', '10'),
    service,
  });
  return any.map(
    ({ protocols, count, security, alpnPolicy, groups, zones, tags, crossZone, delay, service }) => {
      const ports = protocols.slice(0, count);
      const named = (port: number) => `${service}-${port}`;
      const stack = application(
        site,
        ports.map(([port, protocol]) =>
          listener(port, [], {
            protocol,
            defaultActions: [forward(named(port))],
            ...(protocol === 'TLS' && { ...security, ...(alpnPolicy !== 'None' && { alpnPolicy }) }),
          }),
        ),
      );
      const isGuarded = groups.length > 0;
      const { securityGroup, loadBalancer, id } = stack;
      return {
        id,
        ...(isGuarded && { securityGroup: securityGroup! }),
        loadBalancer: {
          ...loadBalancer!,
          name: resourceName({ namespace: 'shop', name: 'web' }, ['network', String(isGuarded)]),
          type: 'network',
          subnets: zones.map((subnetId) => ({ subnetId })),
          securityGroups: groups,
          attributes: { 'load_balancing.cross_zone.enabled': crossZone },
          tags,
        },
        targetGroups: ports.map(([port, protocol]) =>
          targetGroup(named(port), {
            protocol: protocol === 'UDP' ? 'UDP' : 'TCP',
            healthCheck: TCP_CHECK,
            attributes: { 'deregistration_delay.timeout_seconds': delay },
            tags,
            ...(!isGuarded && {
              binding: {
                namespace: 'shop',
                service: { name: named(port), port: 80 },
                networking: [
                  { from: [{ cidr: '10.0.0.0/16' as Ipv4Cidr }], ports: [{ protocol: 'TCP', port: 8080 }] },
                ],
              },
            }),
          }),
        ),
      };
    },
  );
}
