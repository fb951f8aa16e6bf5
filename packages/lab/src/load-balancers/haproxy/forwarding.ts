/** What an application load balancer changes in the requests that it forwards. */
import type { ServingListener, ServingLoadBalancer } from '../../cloud/elbv2/serving.ts';
import { word } from './syntax.ts';

const set = (name: string, format: string, condition = ''): string =>
  `http-request set-header ${name} ${word(format)} ${condition}`.trimEnd();

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html */
export function requestHeaders(
  { attributes }: Pick<ServingLoadBalancer, 'attributes'>,
  listener: ServingListener,
): string[] {
  const isSet = (name: string) => attributes[`routing.http.${name}.enabled`] === 'true';
  const { protocol, port } = listener;
  const invalid = `http-request del-header ${word('[^-A-Za-z0-9]')} -m reg`;
  const keepsHost = isSet('preserve_host_header') || port === 80 || port === 443;
  return [
    ...(isSet('drop_invalid_header_fields') ? [invalid] : []),
    ...forwardedFor(attributes['routing.http.xff_header_processing.mode']!, isSet('xff_client_port')),
    set('X-Forwarded-Proto', protocol.toLowerCase()),
    set('X-Forwarded-Port', String(port)),
    ...(protocol === 'HTTPS' && isSet('x_amzn_tls_version_and_cipher_suite') ? tlsHeaders(listener) : []),
    ...TRACE_ID,
    ...(keepsHost ? [] : [set('Host', `%[req.fhdr(host)]:${port}`, 'if !{ req.fhdr(host) -m sub : }')]),
  ];
}

function forwardedFor(mode: string, withPort: boolean): string[] {
  const name = 'X-Forwarded-For';
  const client = withPort ? '%[src]:%[src_port]' : '%[src]';
  if (mode === 'preserve') return [];
  if (mode === 'remove') return [`http-request del-header ${name}`];
  const given = `req.fhdr(${name})`;
  return [
    set(name, `%[${given}], ${client}`, `if { ${given} -m found }`),
    set(name, client, `if !{ ${given} -m found }`),
  ];
}

/** The client's TLS, in headers that the listener may have other names for. */
function tlsHeaders({ attributes }: ServingListener): string[] {
  const own = (what: string) => attributes[`routing.http.request.x_amzn_tls_${what}.header_name`];
  return [
    set(own('version') || 'x-amzn-tls-version', '%[ssl_fc_protocol]'),
    set(own('cipher_suite') || 'x-amzn-tls-cipher-suite', '%[ssl_fc_cipher]'),
  ];
}

/** A number of its own in each request that it forwards: `1-<seconds since 1970>-<24 digits>`. */
const OWN_ID = '1-%[date(),hex,bytes(8)]-%[uuid(),regsub(-,,g),bytes(0,24)]';

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html */
const TRACE_ID: readonly string[] = (() => {
  const name = 'X-Amzn-Trace-Id';
  const given = `req.fhdr(${name})`;
  return [
    `http-request set-var-fmt(txn.trace) ${word(OWN_ID)}`,
    // Its own part of an earlier hop is replaced.
    `http-request replace-header ${name} ${word('^(.*;)?Self=[^;]*;?(.*)$')} ${word('\\1\\2')}`,
    set(name, `Self=%[var(txn.trace)];%[${given}]`, `if { ${given} -m sub Root= }`),
    set(name, `%[${given}];Root=%[var(txn.trace)]`, `if { ${given} -m found } !{ ${given} -m sub Root= }`),
    set(name, 'Root=%[var(txn.trace)]', `if !{ ${given} -m found }`),
  ];
})();

/** What a listener's attributes say of responses: a header that has a value replaces the target's. */
export function responseHeaders({ attributes }: Pick<ServingListener, 'attributes'>): string[] {
  return Object.entries(attributes).flatMap(([key, value]) => {
    const [, name] = /^routing\.http\.response\.(\w+)\.header_value$/.exec(key) ?? [];
    if (!name || value === '') return [];
    return [
      `http-after-response set-header ${name.replaceAll('_', '-')} ${word(value.replaceAll('%', '%%'))}`,
    ];
  });
}
