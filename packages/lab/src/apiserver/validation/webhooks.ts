/** What is wrong with webhook configurations (`admissionregistration/validation`). */
import type { Fields, KubeObject } from '../object.ts';
import { type Causes, error } from './errors.ts';
import { dnsSubdomain, inRange, portNumber } from './formats.ts';
import { each, has, sub, text, texts } from './read.ts';
import { validateSelector } from './selectors.ts';

const REVIEW_VERSION = 'v1';
const HTTPS =
  'must be a valid URL, e.g. "https://example.com/path": https, with a host, and without user, query and fragment';

export function* validateWebhooks(configuration: KubeObject): Causes {
  const names = new Set<string>();
  for (const [webhook, at] of each(configuration, 'webhooks', '')) {
    const name = text(webhook, 'name');
    if (names.has(name)) yield error.duplicate(`${at}.name`, name);
    names.add(name);
    yield* validateWebhook(webhook, name, at);
  }
}

function* validateWebhook(webhook: Fields, name: string, at: string): Causes {
  for (const detail of dnsSubdomain(name)) yield error.invalid(`${at}.name`, name, detail);
  if (name.split('.').length < 3)
    yield error.invalid(
      `${at}.name`,
      name,
      'should be a domain with at least three segments separated by dots',
    );
  const versions = texts(webhook, 'admissionReviewVersions');
  if (versions.length > 0 && !versions.includes(REVIEW_VERSION)) {
    const detail = `must include at least one of ${REVIEW_VERSION}`;
    yield error.invalid(`${at}.admissionReviewVersions`, versions, detail);
  }
  for (const detail of inRange(webhook.timeoutSeconds, 1, 30))
    yield error.invalid(`${at}.timeoutSeconds`, webhook.timeoutSeconds, detail);
  for (const selector of ['namespaceSelector', 'objectSelector'])
    yield* validateSelector(sub(webhook, selector), `${at}.${selector}`);
  for (const [rule, place] of each(webhook, 'rules', at)) yield* validateRule(rule, place);
  yield* validateClient(sub(webhook, 'clientConfig'), `${at}.clientConfig`);
  if (each(webhook, 'matchConditions', at).length > 0)
    yield error.forbidden(
      `${at}.matchConditions`,
      'the lab evaluates no CEL expressions; select by labels instead',
    );
}

function* validateRule(rule: Fields, at: string): Causes {
  for (const list of ['operations', 'apiGroups', 'apiVersions', 'resources']) {
    const values = texts(rule, list);
    if (values.length === 0) yield error.required(`${at}.${list}`);
    if (list !== 'resources' && values.includes('*') && values.length > 1) {
      const detail = `if '*' is present, must not specify other ${list}`;
      yield error.invalid(`${at}.${list}`, values, detail);
    }
  }
}

function* validateClient(client: Fields, at: string): Causes {
  if (has(client, 'url') === has(client, 'service')) {
    yield error.required(at, 'exactly one of url or service is required');
    return;
  }
  if (has(client, 'url')) {
    const url = text(client, 'url');
    const parsed = URL.parse(url);
    if (parsed?.protocol !== 'https:' || parsed.username || parsed.password || parsed.search || parsed.hash)
      yield error.invalid(`${at}.url`, url, HTTPS);
    return;
  }
  const service = sub(client, 'service');
  const path = text(service, 'path');
  if (path !== '' && !/^\/[^?#]*$/.test(path))
    yield error.invalid(`${at}.service.path`, path, "must start with a '/' and have no query");
  for (const detail of portNumber(service.port))
    yield error.invalid(`${at}.service.port`, service.port, detail);
}
