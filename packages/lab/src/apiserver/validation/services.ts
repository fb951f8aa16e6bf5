/** What is wrong with services (`ValidateService`, `ValidateServiceUpdate`). */
import type { Fields, KubeObject } from '../object.ts';
import { type Causes, error } from './errors.ts';
import { cidr, dnsLabel, dnsSubdomain, inRange, ipAddress, portName, portNumber } from './formats.ts';
import { validateLabels } from './metadata.ts';
import { each, has, number, sub, text, texts } from './read.ts';

const NODE_PORTS = { first: 30000, last: 32767 };
const DAY_SECONDS = 86400;

export function* validateService({ spec = {} }: KubeObject): Causes {
  const { type } = spec;
  const isHeadless = spec.clusterIP === 'None';
  yield* validateLabels(spec.selector, 'spec.selector');
  const ports = each(spec, 'ports', 'spec');
  if (ports.length === 0 && !isHeadless && type !== 'ExternalName') yield error.required('spec.ports');
  if (type === 'LoadBalancer' && isHeadless) {
    yield error.invalid('spec.clusterIPs[0]', 'None', "may not be set to 'None' for LoadBalancer services");
  }
  if (type === 'NodePort' && isHeadless) {
    yield error.invalid('spec.clusterIPs[0]', 'None', "may not be set to 'None' for NodePort services");
  }
  if (type === 'ExternalName') yield* validateExternal(spec);
  yield* validatePorts(spec, ports);
  yield* validateAddresses(spec);
  yield* validateAffinity(spec);
  yield* validateBalancer(spec);
}

function* validateExternal(spec: Fields): Causes {
  const name = text(spec, 'externalName').replace(/\.$/, '');
  if (name === '') yield error.required('spec.externalName');
  else for (const detail of dnsSubdomain(name)) yield error.invalid('spec.externalName', name, detail);
  const why = 'may not be set for ExternalName services';
  if (text(spec, 'clusterIP') !== '' || texts(spec, 'clusterIPs').length > 0)
    yield error.forbidden('spec.clusterIPs', why);
  if (has(spec, 'ipFamilies')) yield error.forbidden('spec.ipFamilies', why);
  if (has(spec, 'ipFamilyPolicy')) yield error.forbidden('spec.ipFamilyPolicy', why);
}

function* validatePorts(spec: Fields, ports: readonly (readonly [Fields, string])[]): Causes {
  const [names, pairs, nodePorts] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const [port, at] of ports) {
    const name = text(port, 'name');
    if (name === '') {
      if (ports.length > 1) yield error.required(`${at}.name`);
    } else {
      for (const detail of dnsLabel(name)) yield error.invalid(`${at}.name`, name, detail);
      if (names.has(name)) yield error.duplicate(`${at}.name`, name);
      names.add(name);
    }
    for (const detail of portNumber(port.port)) yield error.invalid(`${at}.port`, port.port ?? 0, detail);
    const { targetPort } = port;
    const details = typeof targetPort === 'string' ? portName(targetPort) : portNumber(targetPort);
    if (has(port, 'targetPort')) {
      for (const detail of details) yield error.invalid(`${at}.targetPort`, targetPort, detail);
    }
    const protocol = text(port, 'protocol') || 'TCP';
    const pair = `${protocol} ${port.port}`;
    if (pairs.has(pair)) {
      yield error.duplicate(at, { ...(name && { name }), protocol, port: port.port });
    }
    pairs.add(pair);
    yield* validateNodePort(spec, port, at, nodePorts, protocol);
  }
}

function* validateNodePort(
  spec: Fields,
  port: Fields,
  path: string,
  taken: Set<string>,
  protocol: string,
): Causes {
  const { nodePort } = port;
  if (!nodePort) return;
  if (spec.type === 'ClusterIP' || spec.type === 'ExternalName') {
    yield error.forbidden(`${path}.nodePort`, `may not be used when \`type\` is '${spec.type}'`);
    return;
  }
  const { first, last } = NODE_PORTS;
  if (Number(nodePort) < first || Number(nodePort) > last) {
    const detail = `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    yield error.invalid(`${path}.nodePort`, nodePort, detail);
  }
  const key = `${protocol} ${nodePort}`;
  if (taken.has(key)) yield error.duplicate(`${path}.nodePort`, nodePort);
  taken.add(key);
}

function* validateAddresses(spec: Fields): Causes {
  const addresses = texts(spec, 'clusterIPs');
  const clusterIP = text(spec, 'clusterIP');
  if (addresses.length > 0 && clusterIP !== '' && addresses[0] !== clusterIP) {
    yield error.invalid('spec.clusterIPs', addresses, 'first value must match `clusterIP`');
  }
  for (const [index, address] of (addresses.length > 0 ? addresses : [clusterIP]).entries()) {
    if (address === '' || address === 'None') continue;
    for (const detail of ipAddress(address))
      yield error.invalid(`spec.clusterIPs[${index}]`, address, detail);
  }
  for (const [index, address] of texts(spec, 'externalIPs').entries()) {
    const path = `spec.externalIPs[${index}]`;
    for (const detail of ipAddress(address)) yield error.invalid(path, address, detail);
    if (/^(?:0\.0\.0\.0|::)$/.test(address))
      yield error.invalid(path, address, 'may not be unspecified (0.0.0.0 or ::)');
    if (/^127\.|^::1$/.test(address)) {
      yield error.invalid(path, address, 'may not be in the loopback range (127.0.0.0/8, ::1/128)');
    }
    if (/^169\.254\.|^fe80:/i.test(address)) {
      yield error.invalid(path, address, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)');
    }
  }
  if (texts(spec, 'ipFamilies').some((family) => family !== 'IPv4')) {
    yield error.invalid('spec.ipFamilies[0]', 'IPv6', 'not configured on this cluster');
  }
}

function* validateAffinity(spec: Fields): Causes {
  const client = sub(sub(spec, 'sessionAffinityConfig'), 'clientIP');
  const seconds = number(client, 'timeoutSeconds');
  if (spec.sessionAffinity !== 'ClientIP') {
    if (has(spec, 'sessionAffinityConfig')) {
      const detail = 'must not be set when session affinity is None';
      yield error.forbidden('spec.sessionAffinityConfig', detail);
    }
  } else if (seconds === undefined)
    yield error.required('spec.sessionAffinityConfig.clientIP.timeoutSeconds');
  else if (seconds <= 0 || seconds > DAY_SECONDS) {
    const detail = `must be greater than 0 and less than ${DAY_SECONDS}`;
    yield error.invalid('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, detail);
  }
}

function* validateBalancer(spec: Fields): Causes {
  const isBalancer = spec.type === 'LoadBalancer';
  const ranges = texts(spec, 'loadBalancerSourceRanges');
  if (ranges.length > 0 && !isBalancer) {
    yield error.forbidden('spec.loadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'");
  }
  for (const [index, range] of ranges.entries()) {
    const path = `spec.loadBalancerSourceRanges[${index}]`;
    for (const detail of cidr(range.trim())) yield error.invalid(path, range, detail);
  }
  for (const name of ['loadBalancerClass', 'allocateLoadBalancerNodePorts']) {
    if (has(spec, name) && !isBalancer) {
      yield error.forbidden(`spec.${name}`, "may only be used when `type` is 'LoadBalancer'");
    }
  }
  const isExternal = isBalancer || spec.type === 'NodePort' || texts(spec, 'externalIPs').length > 0;
  if (has(spec, 'externalTrafficPolicy') && !isExternal) {
    const detail = 'may only be set for externally-accessible services';
    yield error.invalid('spec.externalTrafficPolicy', spec.externalTrafficPolicy, detail);
  }
  const health = number(spec, 'healthCheckNodePort');
  if (health && !(isBalancer && spec.externalTrafficPolicy === 'Local')) {
    const detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    yield error.invalid('spec.healthCheckNodePort', health, detail);
  } else if (health) {
    for (const detail of inRange(health, 1, 65535))
      yield error.invalid('spec.healthCheckNodePort', health, detail);
  }
}

/** The address stays while there is one. */
export function* validateServiceUpdate({ spec = {} }: KubeObject, { spec: was = {} }: KubeObject): Causes {
  if (spec.type === 'ExternalName' || was.type === 'ExternalName') return;
  const [address, before] = [text(spec, 'clusterIP'), text(was, 'clusterIP')];
  if (before !== '' && address !== before) {
    yield error.invalid('spec.clusterIPs[0]', texts(spec, 'clusterIPs'), 'may not change once set');
  }
  if (
    was.type === 'LoadBalancer' &&
    spec.type === 'LoadBalancer' &&
    spec.loadBalancerClass !== was.loadBalancerClass
  ) {
    yield error.invalid('spec.loadBalancerClass', spec.loadBalancerClass ?? null, 'may not change once set');
  }
}
