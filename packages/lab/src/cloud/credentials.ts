import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from './clock.ts';
import { Ec2Error } from './errors.ts';
import type { Caller } from './operation.ts';

export type Credentials = { readonly accessKeyId: string; readonly secretAccessKey: string };

/** Temporary keys of an instance's role, as its metadata service hands them out. */
export type RoleCredentials = Credentials & {
  readonly sessionToken: string;
  readonly issued: Date;
  readonly expiration: Date;
};

const HOUR_MS = 3_600_000;
const VALID_HOURS = 6;

/**
 * The keys of the account and of its instances' roles. Those of a role are derived from the instance and the hour:
 * nothing is kept, and a restart takes none away.
 */
export class Keyring {
  readonly #account: Credentials;
  readonly #secret: string;
  readonly #clock: Clock;

  /** @param secret what the keys of roles are derived from. */
  constructor(account: Credentials, secret: string, clock: Clock) {
    this.#account = account;
    this.#secret = secret;
    this.#clock = clock;
  }

  /** Keys of an instance's role: the same within an hour, and valid for six. */
  forInstance(instanceId: string): RoleCredentials {
    const hour = Math.floor(this.#clock.now() / HOUR_MS);
    return this.#derive(instanceId, hour);
  }

  /**
   * The owner of an access key, and the secret to check a signature with.
   * @throws {Ec2Error} AuthFailure for keys that are not of this lab, RequestExpired for keys of a role that are over.
   */
  find(accessKeyId: string, sessionToken: string | undefined): { caller: Caller; credentials: Credentials } {
    if (accessKeyId === this.#account.accessKeyId && sessionToken === undefined) {
      return { caller: { kind: 'account' }, credentials: this.#account };
    }
    const [instanceId = '', hour = ''] = sessionToken?.split('/') ?? [];
    const role = this.#derive(instanceId, Number(hour));
    if (role.accessKeyId !== accessKeyId || !isEqual(role.sessionToken, sessionToken ?? ''))
      throw authFailure();
    if (role.expiration.getTime() <= this.#clock.now()) {
      throw new Ec2Error(
        'RequestExpired',
        'Request has expired: get new credentials from instance metadata.',
      );
    }
    return { caller: { kind: 'instance', instanceId }, credentials: role };
  }

  #derive(instanceId: string, hour: number): RoleCredentials {
    const digest = (use: string): Buffer =>
      createHmac('sha256', this.#secret).update(`${use}/${instanceId}/${hour}`).digest();
    return {
      accessKeyId: `ASIA${digest('id').toString('hex').slice(0, 16).toUpperCase()}`,
      secretAccessKey: digest('secret').toString('base64'),
      sessionToken: `${instanceId}/${hour}/${digest('token').toString('base64url')}`,
      issued: new Date(hour * HOUR_MS),
      expiration: new Date((hour + VALID_HOURS) * HOUR_MS),
    };
  }
}

/** AWS does not tell which part of the credentials is wrong. */
export function authFailure(): Ec2Error {
  return new Ec2Error('AuthFailure', 'AWS was not able to validate the provided access credentials');
}

/** Compares two secrets in a time that tells nothing of them. */
export function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
