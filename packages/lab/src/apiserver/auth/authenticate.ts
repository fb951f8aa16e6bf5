import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { ApiError } from '../status.ts';
import type { Store } from '../storage/store.ts';
import type { ServiceAccountTokens } from './service-account-token.ts';
import { authenticated, type User } from './user.ts';

/**
 * Who a request is from: by the certificate of the connection (common name is the user, organizations are the groups) or by
 * a bearer token. Nobody is anonymous.
 * @throws {ApiError} Unauthorized.
 */
export function authenticate(
  request: IncomingMessage,
  tokens: ServiceAccountTokens,
  store: Store,
  now: number,
): User {
  const user = ofCertificate(request.socket as TLSSocket) ?? ofToken(request, tokens, store, now);
  if (!user) throw new ApiError('Unauthorized', 'Unauthorized');
  return authenticated(user);
}

/** A connection's certificate stays the same. */
const known = new WeakMap<TLSSocket, User>();

function ofCertificate(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const before = known.get(socket);
  if (before) return before;
  const { subject } = socket.getPeerCertificate();
  const { CN, O } = (subject ?? {}) as { CN?: string | string[]; O?: string | string[] };
  if (typeof CN !== 'string') return undefined;
  const user = { username: CN, groups: [O ?? []].flat() };
  known.set(socket, user);
  return user;
}

function ofToken(
  request: IncomingMessage,
  tokens: ServiceAccountTokens,
  store: Store,
  now: number,
): User | undefined {
  const [, token] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (!token) return undefined;
  try {
    return tokens.authenticate(token, store, now);
  } catch {
    // Malformed in one of many ways.
    return undefined;
  }
}
