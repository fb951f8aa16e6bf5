import { EC2Client } from '@aws-sdk/client-ec2';
import { CREDENTIALS } from './credentials.ts';

/** Where the AWS APIs of a lab are. */
export type CloudRecord = { readonly ec2Endpoint: string; readonly region: string };

/** A client of a lab's EC2 API, from the host, with the rights of the account. */
export function ec2Client(cloud: CloudRecord): EC2Client {
  return new EC2Client({ endpoint: cloud.ec2Endpoint, region: cloud.region, credentials: CREDENTIALS });
}
