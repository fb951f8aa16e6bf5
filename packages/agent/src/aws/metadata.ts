/**
 * The instance metadata service (IMDSv2), as far as the agent reads it:
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
 */
import { type Ipv4, type Ipv4Cidr, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { Clock } from '../clock.ts';
import { AwsError } from './errors.ts';

/** Who this machine is. */
export type InstanceIdentity = {
  readonly instanceId: string;
  readonly instanceType: string;
  readonly region: string;
  readonly availabilityZone: string;
  /** Of the primary ENI. */
  readonly mac: string;
};

/** An ENI as metadata shows it; what was changed a moment ago may not show yet. */
export type MetadataEni = {
  readonly id: string;
  readonly mac: string;
  readonly deviceNumber: number;
  readonly networkCard: number;
  readonly subnetId: string;
  readonly subnetCidr: Ipv4Cidr;
  readonly vpcId: string;
  readonly securityGroups: readonly string[];
  readonly primaryIp: Ipv4;
  /** Secondary addresses. */
  readonly addresses: readonly Ipv4[];
  /** Delegated prefixes. */
  readonly prefixes: readonly Ipv4Cidr[];
};

/** What the agent needs of instance metadata. */
export interface InstanceMetadata {
  identity(): Promise<InstanceIdentity>;
  /** The attached ENIs, by device number. One whose entries are not complete yet is left out. */
  enis(): Promise<MetadataEni[]>;
  /** Every IPv4 block of the VPC of the ENI with this MAC. */
  vpcCidrs(mac: string): Promise<Ipv4Cidr[]>;
}

/** Tokens last six hours; a new one is asked for well before. */
const TOKEN_AGE = 5 * 3600_000;
const TIMEOUT = 2000;

type Service = {
  request(path: string, options: object): Promise<string>;
  fetchMetadataToken(): Promise<string>;
};

/** Metadata of the instance that the process runs on. */
export class Imds implements InstanceMetadata {
  readonly #tokens: Service;
  readonly #values: Service;
  readonly #clock: Clock;
  #token: { readonly text: Promise<string>; readonly since: number } | undefined;

  private constructor(tokens: Service, values: Service, clock: Clock) {
    this.#tokens = tokens;
    this.#values = values;
    this.#clock = clock;
  }

  /** The service at AWS_EC2_METADATA_SERVICE_ENDPOINT, else at 169.254.169.254. */
  static async open(clock: Clock): Promise<Imds> {
    const { MetadataService } = await import('@aws-sdk/ec2-metadata-service');
    const options = { httpOptions: { timeout: TIMEOUT }, retries: 3 };
    // The library would ask for a token before each value: values get theirs by header, from one service with
    // tokens and one without.
    const tokens = new MetadataService({ ...options, ec2MetadataV1Disabled: true });
    const values = new MetadataService({ ...options, ec2MetadataV1Disabled: false, disableFetchToken: true });
    return new Imds(tokens, values, clock);
  }

  async identity(): Promise<InstanceIdentity> {
    const [instanceId, instanceType, region, availabilityZone, mac] = await Promise.all(
      ['instance-id', 'instance-type', 'placement/region', 'placement/availability-zone', 'mac'].map((path) =>
        this.#get(path),
      ),
    );
    return {
      instanceId: instanceId!,
      instanceType: instanceType!,
      region: region!,
      availabilityZone: availabilityZone!,
      mac: mac!.toLowerCase(),
    };
  }

  async enis(): Promise<MetadataEni[]> {
    const macs = lines(await this.#get('network/interfaces/macs/')).map((mac) => mac.replace(/\/$/, ''));
    const enis = await Promise.all(macs.map((mac) => this.#eni(mac)));
    return enis.filter((eni) => eni !== undefined).sort((a, b) => a.deviceNumber - b.deviceNumber);
  }

  async vpcCidrs(mac: string): Promise<Ipv4Cidr[]> {
    return lines(await this.#get(`network/interfaces/macs/${mac}/vpc-ipv4-cidr-blocks`)).map(parseIpv4Cidr);
  }

  async #eni(mac: string): Promise<MetadataEni | undefined> {
    const root = `network/interfaces/macs/${mac}/`;
    // What is not listed is not asked for: the library leaves the connection of an answer without a value open, which
    // keeps a process that stops from ending.
    const listed = new Set(lines((await this.#find(root)) ?? ''));
    const entry = async (name: string) => (listed.has(name) ? await this.#find(`${root}${name}`) : undefined);
    const [id, device, card, subnetId, subnetCidr, vpcId, groups, ips, prefixes] = await Promise.all(
      [
        'interface-id',
        'device-number',
        'network-card',
        'subnet-id',
        'subnet-ipv4-cidr-block',
        'vpc-id',
        'security-group-ids',
        'local-ipv4s',
        'ipv4-prefix',
      ].map(entry),
    );
    const [primaryIp, ...addresses] = lines(ips ?? '').map(parseIpv4);
    if (!id || !device || !subnetId || !subnetCidr || !vpcId || !groups || !primaryIp) return undefined;
    return {
      id,
      mac: mac.toLowerCase(),
      deviceNumber: Number(device),
      networkCard: Number(card ?? 0),
      subnetId,
      subnetCidr: parseIpv4Cidr(subnetCidr),
      vpcId,
      securityGroups: lines(groups),
      primaryIp,
      addresses,
      prefixes: lines(prefixes ?? '').map(parseIpv4Cidr),
    };
  }

  /** A value, or undefined when there is none at the path. */
  async #find(path: string): Promise<string | undefined> {
    try {
      return await this.#get(path);
    } catch (error) {
      if (error instanceof AwsError && error.isNotFound) return undefined;
      throw error;
    }
  }

  async #get(path: string): Promise<string> {
    try {
      const headers = { 'x-aws-ec2-metadata-token': await this.#validToken() };
      // The library puts the endpoint's own path, `/`, before this one.
      return (await this.#values.request(`latest/meta-data/${path}`, { headers })).trim();
    } catch (cause) {
      const status = (cause as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
      if (status !== 404) this.#token = undefined;
      const text =
        status === 404
          ? `instance metadata has no ${path}`
          : `instance metadata does not give ${path} (${(cause as Error).message}): it must be switched on for the instance, and the agent must run in the host network`;
      throw new AwsError(status === 404 ? 'Metadata.NotFound' : 'Metadata', 'GetMetadata', text, { cause });
    }
  }

  #validToken(): Promise<string> {
    const now = this.#clock.now();
    if (!this.#token || now - this.#token.since > TOKEN_AGE) {
      this.#token = { text: this.#tokens.fetchMetadataToken(), since: now };
    }
    return this.#token.text;
  }
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
