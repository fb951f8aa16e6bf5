import { createHmac } from 'node:crypto';
import { contains, type Ipv4, isIpv4 } from '@enid/ip';
import type { Clock } from './clock.ts';
import { isEqual, type Keyring } from './credentials.ts';
import { lookUp, metadataOf } from './metadata.ts';
import type { Settings } from './settings.ts';
import type { CloudState, Instance, NetworkInterface } from './state.ts';
import type { Store } from './store.ts';

/** A request as it comes out of a VPC. */
export type MetadataRequest = {
  readonly vpcId: string;
  /** Source address: it tells the instance, for no packet leaves one with a source that it does not own. */
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
};

export type MetadataResponse = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** TTL with which the answer may leave: as many hops as the instance allows. */
  readonly hopLimit: number;
};

const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';
const MAX_TTL_SECONDS = 21_600;

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
};

const page = (status: number): string => `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>${status} - ${TITLES[status]}</title>
 </head>
 <body>
  <h1>${status} - ${TITLES[status]}</h1>
 </body>
</html>
`;

function owns({ primaryIp, secondaryIps, prefixes }: NetworkInterface, address: Ipv4): boolean {
  return (
    primaryIp === address ||
    secondaryIps.includes(address) ||
    prefixes.some((prefix) => contains(prefix, address))
  );
}

function instanceAt(state: CloudState, vpcId: string, address: string): Instance | undefined {
  if (!isIpv4(address)) return undefined;
  const eni = Object.values(state.networkInterfaces).find((one) => one.vpcId === vpcId && owns(one, address));
  return state.instances[eni?.attachment?.instanceId ?? ''];
}

/** The instance metadata service, version 2, of every instance: what to answer, whoever carries it. */
export class Imds {
  readonly #store: Store;
  readonly #keyring: Keyring;
  readonly #settings: () => Settings;
  readonly #clock: Clock;
  readonly #secret: string;

  /** @param options `secret`: what tokens are signed with, so that they outlive a restart. */
  constructor(options: {
    store: Store;
    keyring: Keyring;
    settings: () => Settings;
    clock: Clock;
    secret: string;
  }) {
    this.#store = options.store;
    this.#keyring = options.keyring;
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#secret = options.secret;
  }

  /** @returns the answer, or undefined for a caller that is no instance: it gets none. */
  handle(request: MetadataRequest): MetadataResponse | undefined {
    const instance = instanceAt(this.#store.state, request.vpcId, request.address);
    if (!instance) return undefined;
    const { httpPutResponseHopLimit: hopLimit, httpEndpoint } = instance.metadataOptions;
    const refuse = (status: number): MetadataResponse => ({
      status,
      headers: { 'content-type': 'text/html' },
      body: page(status),
      hopLimit,
    });
    if (httpEndpoint === 'disabled') return refuse(403);

    const ttl = request.headers[TTL_HEADER];
    if (request.path === '/latest/api/token') {
      if (request.method !== 'PUT') return refuse(405);
      // A proxy that is open by mistake adds this header: it shall not fetch tokens for others.
      if (request.headers['x-forwarded-for'] !== undefined) return refuse(403);
      if (typeof ttl !== 'string' || !/^\d+$/.test(ttl)) return refuse(400);
      const seconds = Number(ttl);
      if (seconds < 1 || seconds > MAX_TTL_SECONDS) return refuse(400);
      const body = this.#token(instance.id, Math.floor(this.#clock.now() + seconds * 1000));
      return { status: 200, headers: { 'content-type': 'text/plain', [TTL_HEADER]: ttl }, body, hopLimit };
    }

    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405);
    const token = request.headers['x-aws-ec2-metadata-token'];
    const mayLackToken = instance.metadataOptions.httpTokens === 'optional';
    const remaining = typeof token === 'string' ? this.#remainingSeconds(instance.id, token) : undefined;
    if (remaining === undefined && !(token === undefined && mayLackToken)) return refuse(401);
    const body = this.#lookUp(instance, request.path);
    if (body === undefined) return refuse(404);
    return {
      status: 200,
      headers: {
        'content-type': 'text/plain',
        ...(remaining !== undefined && { [TTL_HEADER]: String(remaining) }),
      },
      body,
      hopLimit,
    };
  }

  #lookUp(instance: Instance, path: string): string | undefined {
    if (path === '/') return 'latest';
    const [, version, ...rest] = path.split('/');
    if (version !== 'latest') return undefined;
    const tree = metadataOf(instance, {
      now: this.#store.state,
      past: this.#store.before(this.#settings().metadataLagMs),
      credentials: this.#keyring.forInstance(instance.id),
    });
    return lookUp(tree, rest.join('/'));
  }

  /** A token carries its own end, so that none has to be kept. @param until milliseconds since 1970. */
  #token(instanceId: string, until: number): string {
    const mac = createHmac('sha256', this.#secret).update(`${instanceId}/${until}`).digest('base64url');
    return `${until.toString(36)}-${mac}`;
  }

  /** Seconds for which a token is still valid, or undefined when it is not, or is another instance's. */
  #remainingSeconds(instanceId: string, token: string): number | undefined {
    const until = Number.parseInt(token.split('-')[0] ?? '', 36);
    if (!isEqual(this.#token(instanceId, until), token)) return undefined;
    const remaining = Math.ceil((until - this.#clock.now()) / 1000);
    return remaining > 0 ? remaining : undefined;
  }
}
