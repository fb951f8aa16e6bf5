import { EC2Client } from '@aws-sdk/client-ec2';
import { CREDENTIALS } from './credentials.ts';

/** Where the AWS APIs of a lab are. */
export type CloudRecord = { readonly ec2Endpoint: string; readonly region: string };

/**
 * How a client from the host speaks to a lab's AWS: with the rights of the account, and as patiently as the rates ask
 * that it shares with the agents and the controller.
 */
export function awsConfig({ ec2Endpoint: endpoint, region }: CloudRecord) {
  return { endpoint, region, credentials: CREDENTIALS, retryMode: 'adaptive', maxAttempts: 8 };
}

export const ec2Client = (cloud: CloudRecord) => new EC2Client(awsConfig(cloud));
