import type { Service } from '@enid/kube';

/**
 * The variables that tell a container where services are, as Docker's links did: `WEB_SERVICE_HOST`, `WEB_PORT` ...
 * @param services those to tell of. Ones without an address of their own are left out.
 */
export function serviceEnvironment(services: readonly Service[]): Map<string, string> {
  const env = new Map<string, string>();
  for (const { metadata, spec } of services) {
    const host = spec?.clusterIP;
    const ports = spec?.ports ?? [];
    if (!host || host === 'None' || ports.length === 0) continue;
    const prefix = variable(metadata!.name!);
    const literal = host.includes(':') ? `[${host}]` : host;
    env.set(`${prefix}_SERVICE_HOST`, host);
    env.set(`${prefix}_SERVICE_PORT`, `${ports[0]!.port}`);
    for (const { name, port } of ports)
      if (name) env.set(`${prefix}_SERVICE_PORT_${variable(name)}`, `${port}`);
    ports.forEach(({ protocol: given, port }, index) => {
      const protocol = given ?? 'TCP';
      const url = `${protocol.toLowerCase()}://${literal}:${port}`;
      if (index === 0) env.set(`${prefix}_PORT`, url);
      const one = `${prefix}_PORT_${port}_${protocol}`;
      env.set(one, url);
      env.set(`${one}_PROTO`, protocol.toLowerCase());
      env.set(`${one}_PORT`, `${port}`);
      env.set(`${one}_ADDR`, host);
    });
  }
  return env;
}

/** The services that a pod of this namespace is told of. The API server's it is told of always. */
export function linkedServices(
  services: readonly Service[],
  namespace: string,
  enableServiceLinks: boolean,
): Service[] {
  const apiServer = services.filter(
    ({ metadata }) => metadata?.namespace === 'default' && metadata.name === 'kubernetes',
  );
  if (!enableServiceLinks) return apiServer;
  // The namespace's own come last, so that they win.
  return [...apiServer, ...services.filter(({ metadata }) => metadata?.namespace === namespace)];
}

function variable(name: string): string {
  return name.replaceAll(/[-.]/g, '_').toUpperCase();
}
