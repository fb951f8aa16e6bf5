/** An Ingress as it is read: by itself, before it meets the others of its group. */
import { type Ingress, keyOf } from '@enid/kube';
import { Annotations } from '../annotations.ts';
import { InvalidObject } from '../model/errors.ts';
import type { ActionSpec, ConditionSpec, TargetGroupRef, TargetGroupSpec } from '../model/stack.ts';
import { readTags } from '../tags.ts';
import { type Action, type ForwardTarget, readAction, USE_ANNOTATION } from './actions.ts';
import { classAnnotations, pairs } from './class-params.ts';
import { HOST_PATTERN, readConditions } from './conditions.ts';
import { type IngressStackId, type Member, PREFIX } from './groups.ts';
import { inOrder, type Path, pathPatterns } from './paths.ts';
import { split } from './rules.ts';
import { readSettings, type Settings } from './settings.ts';
import { NoBackend, targetGroupSpec } from './target-groups.ts';
import { refuseUnsupported } from './unsupported.ts';
import { type IngressWorld, nameOf } from './world.ts';

export type MemberRule = { readonly conditions: readonly ConditionSpec[]; readonly action: ActionSpec };

export type ReadMember = {
  readonly ingress: Ingress;
  /** For messages. */
  readonly object: string;
  readonly settings: Settings;
  readonly rules: readonly MemberRule[];
  readonly defaultAction: ActionSpec | undefined;
  /** By id: those that the actions forward to. */
  readonly targetGroups: ReadonlyMap<string, TargetGroupSpec>;
  /** Of backends that requests cannot be forwarded to, and that are answered with 503 therefore. */
  readonly problems: readonly InvalidObject[];
};

type Backend = Path['backend'];

/** @throws {InvalidObject} when the Ingress cannot be served at all. */
export async function readMember(
  stack: IngressStackId,
  { ingress, params }: Member,
  world: IngressWorld,
): Promise<ReadMember> {
  const { account, defaults } = world;
  const object = nameOf(ingress);
  const { namespace = '', name: ingressName = '' } = ingress.metadata ?? {};
  const own = new Annotations(object, PREFIX, ingress.metadata?.annotations);
  const ofClass = params && classAnnotations(PREFIX, params);
  const annotations = ofClass?.over(own) ?? own;
  refuseUnsupported(annotations);
  const settings = await readSettings(ingress, object, annotations, params, world);
  const problems: InvalidObject[] = [];
  const targetGroups = new Map<string, TargetGroupSpec>();

  const rules: MemberRule[] = [];
  for (const { host, http } of ingress.spec?.rules ?? []) {
    if (host && !HOST_PATTERN.test(host)) refuse(`host "${host}" is not what load balancers match`);
    for (const path of inOrder(http?.paths ?? [])) {
      const service = serviceOf(path.backend);
      const conditions = conditionsOf(host, path, service.name);
      const parts = split(conditions);
      if (!parts)
        return refuse(
          `path ${path.path} has ${conditions.length} conditions with more than 5 values, which is what a rule has at most`,
        );
      const action = await actionOf(service);
      rules.push(...parts.map((conditions) => ({ conditions, action })));
    }
  }
  const { defaultBackend } = ingress.spec ?? {};
  const defaultAction = defaultBackend && (await actionOf(serviceOf(defaultBackend)));
  return { ingress, object, settings, rules, defaultAction, targetGroups, problems };

  function refuse(message: string): never {
    throw new InvalidObject(object, message);
  }

  function serviceOf({ service }: Backend) {
    return service ?? refuse('has a backend that is no Service: a load balancer has no others');
  }

  function conditionsOf(host: string | undefined, path: Path, backend: string): ConditionSpec[] {
    const patterns = pathPatterns(path);
    if ('wrong' in patterns) return refuse(`path ${path.path} ${patterns.wrong}`);
    const more = readConditions(own, backend);
    const values = (field: ConditionSpec['field']) =>
      more.flatMap((condition) => (condition.field === field ? (condition.values as string[]) : []));
    const hosts = [...new Set([...(host ? [host] : []), ...values('host-header')])];
    const paths = [...new Set([...patterns, ...values('path-pattern')])];
    const conditions: ConditionSpec[] = more.filter(
      ({ field }) => field !== 'host-header' && field !== 'path-pattern',
    );
    if (hosts.length > 0) conditions.push({ field: 'host-header', values: hosts });
    if (paths.length > 0) conditions.push({ field: 'path-pattern', values: paths });
    return conditions.length > 0 ? conditions : [{ field: 'path-pattern', values: ['/*'] }];
  }

  async function actionOf({ name, port }: NonNullable<Backend['service']>): Promise<ActionSpec> {
    const action: Action | undefined =
      port?.name === USE_ANNOTATION
        ? readAction(own, name)
        : { type: 'forward', targets: [{ service: name, port: port?.name || (port?.number ?? 0) }] };
    if (!action) {
      problems.push(
        new NoBackend(object, `has no annotation ${PREFIX}actions.${name} for its backend ${name}`),
      );
      return unavailable('Backend action does not exist');
    }
    if (action.type !== 'forward') return action;
    const found = [];
    for (const target of action.targets) {
      const group = await groupOf(target);
      if (group) found.push({ group, ...(target.weight !== undefined && { weight: target.weight }) });
    }
    if (found.length === 0) return unavailable('Backend service does not exist');
    if (new Set(found.map(({ group }) => JSON.stringify(group))).size < found.length)
      refuse(`annotation ${PREFIX}actions.${name} has a target twice`);
    const { stickinessSeconds } = action;
    return { type: 'forward', targetGroups: found, ...(stickinessSeconds && { stickinessSeconds }) };
  }

  /** @returns undefined when requests cannot be forwarded there; the problem is told. */
  async function groupOf(target: ForwardTarget): Promise<TargetGroupRef | undefined> {
    try {
      if ('arn' in target) return { arn: target.arn };
      if ('targetGroup' in target) {
        const arn = await account.targetGroupArn(target.targetGroup);
        if (arn === undefined) throw new NoBackend(object, `there is no target group ${target.targetGroup}`);
        return { arn };
      }
      return { id: serviceGroup(target.service, target.port) };
    } catch (error) {
      // What another object says wrongly, as a Service, takes its backend away and not the Ingress.
      const isElsewhere =
        error instanceof InvalidObject && (error instanceof NoBackend || error.object !== object);
      if (!isElsewhere) throw error;
      if (!problems.some(({ message }) => message === error.message)) problems.push(error);
      return undefined;
    }
  }

  function serviceGroup(name: string, port: number | string): string {
    const service = world.service(`${namespace}/${name}`);
    if (!service) throw new NoBackend(object, `its backend Service ${namespace}/${name} does not exist`);
    const ofService = new Annotations(`Service ${keyOf(service)}`, PREFIX, service.metadata?.annotations);
    refuseUnsupported(ofService);
    const below = ofService.over(own);
    const group = targetGroupSpec({
      stack,
      ingress: { namespace, name: ingressName, object },
      service,
      port,
      annotations: ofClass?.over(below) ?? below,
      tags: {
        ...readTags(own, 'tags', {}),
        ...readTags(ofService, 'tags', {}),
        ...pairs(params?.spec?.tags),
        ...defaults.tags,
      },
      defaults,
    });
    targetGroups.set(group.id, group);
    return group.id;
  }
}

const unavailable = (messageBody: string): ActionSpec => ({
  type: 'fixed-response',
  statusCode: '503',
  contentType: 'text/plain',
  messageBody,
});
