import type { Action, Certificate, Listener as ElbListener } from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../../errors.ts';
import { readActions } from '../actions.ts';
import { attributeList, listenerAttributes, setAttributes } from '../attributes.ts';
import { checkRange, invalid, type Operations, optional, page, required } from '../operation.ts';
import { elbArn, find, listenersOf, newElbId, pathOf, rulesOf } from '../resources.ts';
import { checkCertificate, isSecure, readSecurity, type Security } from '../security.ts';
import type { Listener, ListenerProtocol, LoadBalancer } from '../state.ts';
import { addTags } from '../tags.ts';

const PROTOCOLS = { application: ['HTTP', 'HTTPS'], network: ['TCP', 'TLS', 'UDP', 'TCP_UDP'] } as const;

function readProtocol({ type }: LoadBalancer, protocol: string | undefined): ListenerProtocol {
  const given = required(protocol, 'A listener protocol');
  const known: readonly string[] = PROTOCOLS[type];
  if (known.includes(given)) return given as ListenerProtocol;
  throw invalid(`Listener protocol '${given}' must be one of '${known.join(', ')}'`);
}

function describe(listener: Listener): ElbListener {
  const [certificate] = listener.certificates;
  return {
    ListenerArn: listener.arn,
    LoadBalancerArn: listener.loadBalancerArn,
    Port: listener.port,
    Protocol: listener.protocol,
    DefaultActions: listener.defaultActions.map((action) => ({ ...action })),
    ...(certificate && { Certificates: [{ CertificateArn: certificate }] }),
    ...optional('SslPolicy', listener.sslPolicy),
    ...(listener.alpnPolicy && { AlpnPolicy: [listener.alpnPolicy] }),
    ...(listener.protocol === 'HTTPS' && { MutualAuthentication: { Mode: 'off' } }),
  };
}

/** @throws {AwsError} for mutual authentication, which the lab has not. */
function refuseMutual(authentication: { Mode?: string | undefined } | undefined): void {
  if ((authentication?.Mode ?? 'off') === 'off') return;
  throw new AwsError('InvalidConfigurationRequest', 'The lab has no mutual authentication of listeners');
}

/** The one certificate that a call is about: their reference says so, though the field is a list. */
function oneCertificate(certificates: readonly Certificate[]): string {
  const [first, ...more] = certificates;
  if (more.length > 0)
    throw invalid(`You can specify one certificate per call, and there are ${certificates.length}`);
  return required(first?.CertificateArn, 'A certificate ARN');
}

export const operations: Operations = {
  CreateListener(input, context) {
    const { state, quotas } = context;
    const loadBalancer = find(state, 'loadBalancer', input.LoadBalancerArn);
    refuseMutual(input.MutualAuthentication);
    const protocol = readProtocol(loadBalancer, input.Protocol);
    const port = checkRange(required(input.Port, 'A listener port'), 1, 65_535, 'Listener port');
    const defaultActions = readActions(context, loadBalancer, protocol, input.DefaultActions);
    const security = readSecurity(context, protocol, input, undefined);
    const others = listenersOf(state, loadBalancer.arn);
    const taken = others.find((other) => other.port === port);
    if (taken) {
      const settings = (listener: Security, actions: unknown) =>
        JSON.stringify([listener.sslPolicy, listener.certificates[0], listener.alpnPolicy, actions]);
      const isSame =
        taken.protocol === protocol &&
        settings(security, defaultActions) === settings(taken, taken.defaultActions);
      if (isSame) return { Listeners: [describe(taken)] };
      throw new AwsError(
        'DuplicateListener',
        `A listener already exists on this port for this load balancer '${loadBalancer.arn}'`,
      );
    }
    if (others.length >= quotas.listenersPerLoadBalancer) {
      throw new AwsError(
        'TooManyListeners',
        `A load balancer has at most ${quotas.listenersPerLoadBalancer} listeners: '${loadBalancer.arn}'`,
      );
    }
    const arn = elbArn(state, `listener/${pathOf(loadBalancer)}/${newElbId(context)}`);
    state.listeners[arn] = {
      arn,
      loadBalancerArn: loadBalancer.arn,
      protocol,
      port,
      ...security,
      defaultActions,
      attributes: {},
      tags: addTags(quotas, {}, input.Tags),
    };
    return { Listeners: [describe(state.listeners[arn])] };
  },

  DescribeListeners(input, { state }) {
    const { LoadBalancerArn, ListenerArns } = input;
    if (Boolean(LoadBalancerArn) === Boolean(ListenerArns?.length)) {
      throw invalid('You must specify either listener ARNs or a load balancer ARN');
    }
    const listeners = LoadBalancerArn
      ? listenersOf(state, find(state, 'loadBalancer', LoadBalancerArn).arn)
      : ListenerArns!.map((arn) => find(state, 'listener', arn));
    const { items, next } = page(listeners as Listener[], ({ arn }) => arn, input);
    return { Listeners: items.map(describe), ...next };
  },

  ModifyListener(input, context) {
    const { state } = context;
    const listener = find(state, 'listener', input.ListenerArn);
    const loadBalancer = find(state, 'loadBalancer', listener.loadBalancerArn);
    refuseMutual(input.MutualAuthentication);
    const protocol = readProtocol(loadBalancer, input.Protocol ?? listener.protocol);
    const port = checkRange(input.Port ?? listener.port, 1, 65_535, 'Listener port');
    const taken = listenersOf(state, loadBalancer.arn).some(
      (other) => other.arn !== listener.arn && other.port === port,
    );
    if (taken) {
      throw new AwsError(
        'DuplicateListener',
        `A listener already exists on port ${port} of '${loadBalancer.arn}'`,
      );
    }
    const actions = input.DefaultActions ?? (listener.defaultActions as Action[]);
    const security = readSecurity(
      context,
      protocol,
      input,
      isSecure(listener.protocol) ? listener : undefined,
    );
    delete listener.sslPolicy;
    delete listener.alpnPolicy;
    Object.assign(listener, {
      protocol,
      port,
      ...security,
      defaultActions: readActions(context, loadBalancer, protocol, actions),
    });
    return { Listeners: [describe(listener as Listener)] };
  },

  DeleteListener({ ListenerArn }, { state }) {
    const { arn } = find(state, 'listener', ListenerArn);
    for (const rule of rulesOf(state, arn)) delete state.rules[rule.arn];
    delete state.listeners[arn];
    return {};
  },

  AddListenerCertificates({ ListenerArn, Certificates }, { state, quotas }) {
    const listener = find(state, 'listener', ListenerArn);
    if (!isSecure(listener.protocol))
      throw invalid(`Certificates are not of listeners with the protocol '${listener.protocol}'`);
    const arn = checkCertificate(state, oneCertificate(Certificates));
    if (!listener.certificates.includes(arn)) listener.certificates.push(arn);
    // The default one is not counted.
    if (listener.certificates.length - 1 > quotas.certificatesPerLoadBalancer) {
      throw new AwsError(
        'TooManyCertificates',
        `A listener has at most ${quotas.certificatesPerLoadBalancer} certificates`,
      );
    }
    return { Certificates: [{ CertificateArn: arn, IsDefault: false }] };
  },

  RemoveListenerCertificates({ ListenerArn, Certificates }, { state }) {
    const listener = find(state, 'listener', ListenerArn);
    const gone = oneCertificate(Certificates);
    if (gone === listener.certificates[0])
      throw new AwsError('OperationNotPermitted', `Default certificate '${gone}' cannot be removed`);
    listener.certificates = listener.certificates.filter((arn) => arn !== gone);
    return {};
  },

  DescribeListenerCertificates(input, { state }) {
    const { certificates } = find(state, 'listener', input.ListenerArn);
    const described = certificates.map((CertificateArn, index) => ({
      CertificateArn,
      IsDefault: index === 0,
    }));
    const { items, next } = page(described, ({ CertificateArn }) => CertificateArn, input);
    return { Certificates: items, ...next };
  },

  DescribeListenerAttributes({ ListenerArn }, { state }) {
    const listener = find(state, 'listener', ListenerArn);
    return { Attributes: attributeList(listenerAttributes(listener), listener.attributes) };
  },

  ModifyListenerAttributes({ ListenerArn, Attributes }, { state }) {
    const listener = find(state, 'listener', ListenerArn);
    setAttributes(listenerAttributes(listener), listener.attributes, Attributes, 'Listener');
    return { Attributes: attributeList(listenerAttributes(listener), listener.attributes) };
  },
};
