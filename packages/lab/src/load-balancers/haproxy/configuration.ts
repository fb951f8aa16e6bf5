/** What one HAProxy is to do. */
import { join } from 'node:path';
import type { ServingLoadBalancer } from '../../cloud/elbv2/serving.ts';
import type { IsHealthy, ZoneNode } from '../targets.ts';
import { applicationOf } from './application.ts';
import { networkOf } from './network.ts';
import { render, type Section } from './syntax.ts';
import type { Files } from './tls.ts';

export type Configuration = {
  /** All but the global one and the backends. */
  readonly sections: readonly Section[];
  readonly backends: readonly Backend[];
  readonly files: Files;
  /** Whether it opens connections with other machines' addresses, for which it has to stay root. */
  readonly isTransparent: boolean;
};

export type Backend = Section & {
  readonly name: string;
  /** Arguments that all servers have. */
  readonly options: string;
  /** `<address>:<port>` of each, which is also its name. */
  readonly servers: readonly string[];
};

/** Where an HAProxy keeps its own. */
export class HaproxyDirectory {
  readonly path: string;
  readonly file: string;
  readonly socket: string;
  readonly certificates: string;

  constructor(path: string) {
    this.path = path;
    this.file = join(path, 'haproxy.cfg');
    this.socket = join(path, 'haproxy.sock');
    this.certificates = join(path, 'certificates');
  }
}

/** @returns undefined for a load balancer that terminates nothing. */
export function configurationOf(
  loadBalancer: ServingLoadBalancer,
  nodes: readonly ZoneNode[],
  isHealthy: IsHealthy,
  { certificates }: HaproxyDirectory,
): Configuration | undefined {
  const plan = loadBalancer.type === 'application' ? applicationOf : networkOf;
  const found = plan(loadBalancer, nodes, isHealthy, certificates);
  return found.sections.length > 0 ? found : undefined;
}

/** The whole as a file. @param servers whether with those of the backends, which can be changed while it runs. */
export function textOf(
  { sections, backends, isTransparent }: Configuration,
  { socket }: HaproxyDirectory,
  servers = true,
): string {
  const global: Section = {
    header: 'global',
    lines: [
      `stats socket ${socket} mode 600 level admin expose-fd listeners`,
      'stats timeout 20d',
      'nbthread 1',
      // Its own client, which nobody uses, would read all the system's authorities: most of the time that a start takes.
      'httpclient.ssl.verify none',
      // AWS takes 16 KiB of a line and 64 KiB of all headers.
      'tune.bufsize 65536',
      'tune.http.maxhdr 256',
      ...(isTransparent ? [] : ['user haproxy', 'group haproxy']),
    ],
  };
  const filled = backends.map(({ header, lines, options, servers: each }) => ({
    header,
    lines: [
      ...lines,
      `# ${options}`,
      ...(servers ? each.map((server) => `server ${server} ${server} ${options}`) : []),
    ],
  }));
  return render([global, ...sections, ...filled]);
}
