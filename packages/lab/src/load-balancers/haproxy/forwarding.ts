/** What an application load balancer changes in the requests that it forwards. */
import type { ServingListener, ServingLoadBalancer } from '../../cloud/elbv2/serving.ts';
import { word } from './syntax.ts';

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html */
export function requestHeaders(
  { attributes }: Pick<ServingLoadBalancer, 'attributes'>,
  listener: ServingListener,
): string[] {
  const isSet = (name: string) => attributes[`routing.http.${name}.enabled`] === 'true';
  const set = (name: string, format: string, condition = '') =>
    `http-request set-header ${name} ${word(format)} ${condition}`.trimEnd();
  const { protocol, port } = listener;
  return [
    ...(isSet('drop_invalid_header_fields')
      ? [`http-request del-header ${word('[^-A-Za-z0-9]')} -m reg`]
      : []),
    ...forwardedFor(attributes['routing.http.xff_header_processing.mode']!, isSet('xff_client_port')),
    set('X-Forwarded-Proto', protocol.toLowerCase()),
    set('X-Forwarded-Port', String(port)),
    ...(protocol === 'HTTPS' && isSet('x_amzn_tls_version_and_cipher_suite')
      ? [
          set(headerName('version'), '%[ssl_fc_protocol]'),
          set(headerName('cipher_suite'), '%[ssl_fc_cipher]'),
        ]
      : []),
    ...TRACE_ID,
    ...(isSet('preserve_host_header') || port === 80 || port === 443
      ? []
      : [set('Host', `%[req.fhdr(host)]:${port}`, 'if !{ req.fhdr(host) -m sub : }')]),
  ];

  function headerName(what: string): string {
    const own = listener.attributes[`routing.http.request.x_amzn_tls_${what}.header_name`];
    return own || `x-amzn-tls-${what.replace('_', '-')}`;
  }

  function forwardedFor(mode: string, withPort: boolean): string[] {
    const name = 'X-Forwarded-For';
    const client = withPort ? '%[src]:%[src_port]' : '%[src]';
    if (mode === 'preserve') return [];
    if (mode === 'remove') return [`http-request del-header ${name}`];
    return [
      set(name, `%[req.fhdr(${name})], ${client}`, `if { req.fhdr(${name}) -m found }`),
      set(name, client, `if !{ req.fhdr(${name}) -m found }`),
    ];
  }
}

/** A number of its own in each request that it forwards: `1-<seconds since 1970>-<24 digits>`. */
const OWN_ID = '1-%[date(),hex,bytes(8)]-%[uuid(),regsub(-,,g),bytes(0,24)]';

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html */
const TRACE_ID: readonly string[] = (() => {
  const name = 'X-Amzn-Trace-Id';
  const set = (format: string, condition: string) =>
    `http-request set-header ${name} ${word(format)} if ${condition}`;
  const given = `req.fhdr(${name})`;
  return [
    `http-request set-var-fmt(txn.trace) ${word(OWN_ID)}`,
    // Its own part of an earlier hop is replaced.
    `http-request replace-header ${name} ${word('^(.*;)?Self=[^;]*;?(.*)$')} ${word('\\1\\2')}`,
    set(`Self=%[var(txn.trace)];%[${given}]`, `{ ${given} -m sub Root= }`),
    set(`%[${given}];Root=%[var(txn.trace)]`, `{ ${given} -m found } !{ ${given} -m sub Root= }`),
    set('Root=%[var(txn.trace)]', `!{ ${given} -m found }`),
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
