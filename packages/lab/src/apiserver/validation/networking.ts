/** What is wrong with network policies, ingresses and endpoint slices (`networking/validation`, `discovery/validation`). */
import { isIPv4, isIPv6 } from 'node:net';
import type { Fields, KubeObject } from '../object.ts';
import { type Causes, error, IMMUTABLE } from './errors.ts';
import {
  cidr,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  inRange,
  ipAddress,
  isStrictSubset,
  portName,
  portNumber,
} from './formats.ts';
import { each, has, number, sub, text, texts } from './read.ts';
import { validateSelector } from './selectors.ts';

const MOST_ENDPOINTS = 1000;
const MOST_ADDRESSES = 100;
const MOST_PORTS = 20_000;

export function* validateNetworkPolicy({ spec = {} }: KubeObject): Causes {
  yield* validateSelector(sub(spec, 'podSelector'), 'spec.podSelector');
  for (const [direction, peers] of [
    ['ingress', 'from'],
    ['egress', 'to'],
  ] as const) {
    for (const [rule, at] of each(spec, direction, 'spec')) {
      for (const [port, place] of each(rule, 'ports', at)) yield* validatePolicyPort(port, place);
      for (const [peer, place] of each(rule, peers, at)) yield* validatePeer(peer, place);
    }
  }
  const types = texts(spec, 'policyTypes');
  if (types.length > 2) {
    yield error.invalid('spec.policyTypes', types, 'may not specify more than two policyTypes');
  }
}

function* validatePolicyPort({ port, endPort }: Fields, path: string): Causes {
  const details = typeof port === 'string' ? portName(port) : portNumber(port);
  if (port !== undefined) for (const detail of details) yield error.invalid(`${path}.port`, port, detail);
  if (endPort === undefined) return;
  if (port === undefined) {
    yield error.required(`${path}.port`, 'must be specified when `endPort` is specified');
  } else if (typeof port === 'string') {
    yield error.invalid(`${path}.port`, port, 'must be numeric when `endPort` is specified');
  } else if (Number(endPort) < Number(port)) {
    yield error.invalid(`${path}.endPort`, endPort, 'must be greater than or equal to `port`');
  }
  for (const detail of portNumber(endPort)) yield error.invalid(`${path}.endPort`, endPort, detail);
}

function* validatePeer(peer: Fields, path: string): Causes {
  const kinds = ['podSelector', 'namespaceSelector', 'ipBlock'].filter((kind) => has(peer, kind));
  if (kinds.length === 0) yield error.required(path, 'must specify a peer');
  else if (kinds.includes('ipBlock') && kinds.length > 1) {
    yield error.forbidden(path, 'may not specify both ipBlock and another peer');
  }
  for (const kind of kinds) {
    if (kind !== 'ipBlock') yield* validateSelector(sub(peer, kind), `${path}.${kind}`);
  }
  const block = sub(peer, 'ipBlock');
  const range = text(block, 'cidr');
  if (range === '') return;
  const details = cidr(range);
  for (const detail of details) yield error.invalid(`${path}.ipBlock.cidr`, range, detail);
  for (const [index, except] of texts(block, 'except').entries()) {
    const at = `${path}.ipBlock.except[${index}]`;
    const wrong = cidr(except);
    for (const detail of wrong) yield error.invalid(at, except, detail);
    if (wrong.length + details.length === 0 && !isStrictSubset(except, range)) {
      yield error.invalid(at, except, 'must be a strict subset of `cidr`');
    }
  }
}

export function* validateIngress({ spec = {} }: KubeObject): Causes {
  const rules = each(spec, 'rules', 'spec');
  if (rules.length === 0 && !has(spec, 'defaultBackend')) {
    yield error.invalid('spec', spec, 'either `defaultBackend` or `rules` must be specified');
  }
  if (has(spec, 'defaultBackend')) yield* validateBackend(sub(spec, 'defaultBackend'), 'spec.defaultBackend');
  for (const [rule, at] of rules) {
    yield* validateHost(text(rule, 'host'), `${at}.host`);
    for (const [path, place] of each(sub(rule, 'http'), 'paths', `${at}.http`))
      yield* validatePath(path, place);
  }
  for (const [tls, at] of each(spec, 'tls', 'spec')) {
    for (const [index, host] of texts(tls, 'hosts').entries())
      yield* validateHost(host, `${at}.hosts[${index}]`);
    const secret = text(tls, 'secretName');
    if (secret !== '')
      for (const detail of dnsSubdomain(secret)) yield error.invalid(`${at}.secretName`, secret, detail);
  }
  const ingressClass = text(spec, 'ingressClassName');
  if (ingressClass === '') return;
  for (const detail of dnsSubdomain(ingressClass))
    yield error.invalid('spec.ingressClassName', ingressClass, detail);
}

function* validateHost(host: string, path: string): Causes {
  if (host === '') return;
  if (ipAddress(host).length === 0) yield error.invalid(path, host, 'must be a DNS name, not an IP address');
  if (host.startsWith('*.')) {
    if (dnsSubdomain(host.slice(2)).length > 0) {
      const detail =
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com')";
      yield error.invalid(path, host, detail);
    }
    return;
  }
  for (const detail of dnsSubdomain(host)) yield error.invalid(path, host, detail);
}

function* validatePath(object: Fields, path: string): Causes {
  const [place, type] = [text(object, 'path'), text(object, 'pathType')];
  if (type === 'Exact' || type === 'Prefix') {
    if (!place.startsWith('/')) yield error.invalid(`${path}.path`, place, 'must be an absolute path');
    for (const part of ['//', '/./', '/../', '%2f', '%2F']) {
      if (place.includes(part)) yield error.invalid(`${path}.path`, place, `must not contain '${part}'`);
    }
    for (const end of ['/..', '/.']) {
      if (place.endsWith(end)) yield error.invalid(`${path}.path`, place, `cannot end with '${end}'`);
    }
  } else if (place !== '' && !place.startsWith('/')) {
    yield error.invalid(`${path}.path`, place, 'must be an absolute path');
  }
  yield* validateBackend(sub(object, 'backend'), `${path}.backend`);
}

function* validateBackend(backend: Fields, path: string): Causes {
  const [hasService, hasResource] = [has(backend, 'service'), has(backend, 'resource')];
  if (hasService === hasResource) {
    const detail = hasService
      ? 'cannot set both resource and service backends'
      : 'resource or service backend is required';
    yield hasService ? error.invalid(path, '', detail) : error.required(path, detail);
    return;
  }
  if (!hasService) return;
  const service = sub(backend, 'service');
  const name = text(service, 'name');
  if (name !== '')
    for (const detail of dns1035Label(name)) yield error.invalid(`${path}.service.name`, name, detail);
  const port = sub(service, 'port');
  const [portText, portValue] = [text(port, 'name'), number(port, 'number') ?? 0];
  const at = `${path}.service.port`;
  if (portText === '' && portValue === 0) yield error.required(at, 'port name or number is required');
  else if (portText !== '' && portValue !== 0)
    yield error.invalid(at, '', 'cannot set both port name & port number');
  else if (portText !== '')
    for (const detail of portName(portText)) yield error.invalid(`${at}.name`, portText, detail);
  else for (const detail of portNumber(portValue)) yield error.invalid(`${at}.number`, portValue, detail);
}

export function* validateIngressClass({ spec = {} }: KubeObject): Causes {
  const controller = text(spec, 'controller');
  if (controller === '') yield error.required('spec.controller');
  else if (!/^[^/\s]+\/[^\s]+$/.test(controller)) {
    const detail = 'must be a domain-prefixed path (such as "acme.io/foo")';
    yield error.invalid('spec.controller', controller, detail);
  }
  if (!has(spec, 'parameters')) return;
  const parameters = sub(spec, 'parameters');
  const isNamespaced = parameters.scope === 'Namespace';
  if (isNamespaced && text(parameters, 'namespace') === '') {
    yield error.required('spec.parameters.namespace', "`parameters.scope` is set to 'Namespace'");
  } else if (!isNamespaced && has(parameters, 'namespace')) {
    yield error.forbidden('spec.parameters.namespace', "`parameters.scope` is set to 'Cluster'");
  }
}

export function* validateIngressClassUpdate(
  { spec = {} }: KubeObject,
  { spec: was = {} }: KubeObject,
): Causes {
  if (spec.controller !== was.controller) yield error.invalid('spec.controller', spec.controller, IMMUTABLE);
}

export function* validateEndpointSlice(slice: KubeObject): Causes {
  const endpoints = each(slice, 'endpoints', '');
  if (endpoints.length > MOST_ENDPOINTS) yield error.tooMany('endpoints', endpoints.length, MOST_ENDPOINTS);
  const forms: Record<string, (address: string) => string[]> = {
    IPv4: (address) => (isIPv4(address) ? [] : ['must be a valid IPv4 address']),
    IPv6: (address) => (isIPv6(address) ? [] : ['must be a valid IPv6 address']),
    FQDN: dnsSubdomain,
  };
  const form = forms[text(slice, 'addressType')] ?? (() => []);
  for (const [endpoint, at] of endpoints.slice(0, MOST_ENDPOINTS)) {
    const addresses = texts(endpoint, 'addresses');
    if (addresses.length > MOST_ADDRESSES)
      yield error.tooMany(`${at}.addresses`, addresses.length, MOST_ADDRESSES);
    for (const [index, address] of addresses.entries()) {
      for (const detail of form(address)) yield error.invalid(`${at}.addresses[${index}]`, address, detail);
    }
    const hostname = text(endpoint, 'hostname');
    if (hostname !== '')
      for (const detail of dnsLabel(hostname)) yield error.invalid(`${at}.hostname`, hostname, detail);
  }
  const ports = each(slice, 'ports', '');
  if (ports.length > MOST_PORTS) yield error.tooMany('ports', ports.length, MOST_PORTS);
  const names = new Set<string>();
  for (const [port, at] of ports) {
    const name = text(port, 'name');
    if (name !== '') for (const detail of dnsLabel(name)) yield error.invalid(`${at}.name`, name, detail);
    if (names.has(name)) yield error.duplicate(`${at}.name`, name);
    names.add(name);
    if (has(port, 'port'))
      for (const detail of inRange(port.port, 1, 65535)) yield error.invalid(`${at}.port`, port.port, detail);
  }
}

export function* validateEndpointSliceUpdate(slice: KubeObject, old: KubeObject): Causes {
  if (slice.addressType !== old.addressType) yield error.invalid('addressType', slice.addressType, IMMUTABLE);
}

export function* validateEndpoints(object: KubeObject): Causes {
  for (const [subset, at] of each(object, 'subsets', '')) {
    for (const list of ['addresses', 'notReadyAddresses']) {
      for (const [address, place] of each(subset, list, at)) {
        const ip = text(address, 'ip');
        if (ip !== '') for (const detail of ipAddress(ip)) yield error.invalid(`${place}.ip`, ip, detail);
      }
    }
    for (const [port, place] of each(subset, 'ports', at)) {
      for (const detail of portNumber(port.port))
        yield error.invalid(`${place}.port`, port.port ?? 0, detail);
    }
  }
}
