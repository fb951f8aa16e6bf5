/** The cluster's DNS server: what runs in the lab's CoreDNS image. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { encode, RECURSION_DESIRED } from 'dns-packet';
import { ClusterWatch, inClusterAccess } from './cluster.ts';
import { Forwarder } from './forward.ts';
import { DnsMetrics } from './metrics.ts';
import { Resolver } from './resolver.ts';
import { DnsServer } from './server.ts';
import { parseCorefile, parseResolvConf, upstreamsOf } from './settings.ts';

/** How long it goes on answering after it was told to end, in milliseconds: until nobody asks this one any more. */
const LAMEDUCK = 5_000;
const HEALTH_PORT = 8080;
const READY_PORT = 8181;
const METRICS_PORT = 9153;

/** CoreDNS takes its options with one dash. */
function readArguments(argv: readonly string[]): { conf: string; port: number } {
  const { values } = parseArgs({
    args: argv.map((argument) => argument.replace(/^-(?=\w\w)/, '--')),
    options: {
      conf: { type: 'string', default: '/etc/coredns/Corefile' },
      'dns.port': { type: 'string', default: '53' },
    },
  });
  return { conf: values.conf, port: Number(values['dns.port']) };
}

type Page = { readonly status: number; readonly body: string };

/** Serves one page. */
function serve(port: number, path: string, page: () => Page): void {
  createServer((request, response) => {
    const { status, body } = request.url === path ? page() : { status: 404, body: '' };
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(body);
  }).listen(port);
}

async function main(): Promise<void> {
  const { conf, port } = readArguments(process.argv.slice(2));
  const settings = parseCorefile(existsSync(conf) ? readFileSync(conf, 'utf8') : '');
  const servers = settings.forward.flatMap((to) =>
    to.startsWith('/') ? parseResolvConf(readFileSync(to, 'utf8')) : [to],
  );
  const forwarder = new Forwarder(upstreamsOf(servers, port));
  const metrics = new DnsMetrics();
  const cluster = new ClusterWatch(inClusterAccess(process.env));
  const probe = `${randomUUID()}.loop.invalid`;
  const resolver = new Resolver({
    zone: { name: settings.zone, ttl: settings.ttl },
    records: cluster.records,
    forwarder,
    metrics,
    onQuestion(name) {
      if (name !== probe) return;
      console.error(
        `[FATAL] Loop detected: what is passed on to ${servers.join(', ')} comes back. Name other servers.`,
      );
      process.exit(1);
    },
  });
  await new DnsServer(resolver).listen(port);
  const ending = new AbortController();
  serve(HEALTH_PORT, '/health', () => ({ status: 200, body: 'OK' }));
  serve(READY_PORT, '/ready', () =>
    cluster.records() && !ending.signal.aborted
      ? { status: 200, body: 'OK' }
      : { status: 503, body: 'kubernetes' },
  );
  serve(METRICS_PORT, '/metrics', () => ({ status: 200, body: metrics.render() }));
  console.log(`.:${port}, ${settings.zone}, others from ${servers.join(', ') || 'nobody'}`);
  process.once('SIGTERM', () => {
    ending.abort();
    setTimeout(() => process.exit(0), LAMEDUCK);
  });
  process.once('SIGINT', () => process.exit(0));
  // Sent once: an answer of whatever kind, or none, is no matter, as long as the question is not seen here.
  const question = { type: 'HINFO', name: probe } as const;
  forwarder.ask(encode({ type: 'query', flags: RECURSION_DESIRED, questions: [question] })).catch(() => {});
  // It goes on following the cluster while it is still asked.
  await cluster.run(new AbortController().signal);
}

main().catch((error: Error) => {
  console.error(`[FATAL] ${error.message}`);
  process.exit(1);
});
