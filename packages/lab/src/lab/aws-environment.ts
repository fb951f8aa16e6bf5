import { NODE_EC2_ENDPOINT } from '../cloud/node-endpoints.ts';
import { CREDENTIALS } from './credentials.ts';

/** What AWS's SDKs and CLI read. Those of older releases know no `AWS_ENDPOINT_URL`: they take `--endpoint-url`. */
export type AwsEnvironment = {
  readonly AWS_ENDPOINT_URL: string;
  readonly AWS_REGION: string;
  readonly AWS_DEFAULT_REGION: string;
  readonly AWS_ACCESS_KEY_ID: string;
  readonly AWS_SECRET_ACCESS_KEY: string;
};

/**
 * The environment in which AWS's clients reach all services of a lab's AWS (EC2, ELBv2, ACM) with the account's rights.
 * @param endpoint as seen from where they run; inside of the VPC, in pods too, unless given.
 */
export function awsEnvironment(region: string, endpoint: string = NODE_EC2_ENDPOINT): AwsEnvironment {
  return {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
}
