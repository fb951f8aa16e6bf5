/** How load balancers are configured: by variables that are named as the AWS Load Balancer Controller's flags. */
import type { ClusterDefaults } from './model/account.ts';
import type { Tags } from './model/stack.ts';

export type LoadBalancing = {
  readonly region: string;
  readonly vpcId: string;
  readonly defaults: ClusterDefaults;
  /** Keys of tags that others manage. */
  readonly externalTags: readonly string[];
};

/** What the AWS Load Balancer Controller takes. */
const SSL_POLICY = 'ELBSecurityPolicy-2016-08';

/** Whether load balancers are wanted. */
export const wantsLoadBalancers = (env: NodeJS.ProcessEnv): boolean => Boolean(env.CLUSTER_NAME);

/**
 * @param env CLUSTER_NAME, without which there are no load balancers; AWS_REGION and AWS_VPC_ID, which instance metadata
 *   says otherwise; DEFAULT_TAGS and EXTERNAL_MANAGED_TAGS (`key=value,...` and `key,...`); DEFAULT_TARGET_TYPE (instance);
 *   DEFAULT_SSL_POLICY.
 * @throws {Error} that names the variable to mend.
 */
export async function readLoadBalancing(env: NodeJS.ProcessEnv): Promise<LoadBalancing> {
  const targetType = env.DEFAULT_TARGET_TYPE || 'instance';
  if (targetType !== 'instance' && targetType !== 'ip')
    throw new Error(`DEFAULT_TARGET_TYPE is "${targetType}": it may be instance or ip`);
  if (!env.CLUSTER_NAME) throw new Error('CLUSTER_NAME is not set: what is made in AWS is tagged with it');
  return {
    ...(await whereabouts(env)),
    defaults: {
      clusterName: env.CLUSTER_NAME,
      tags: readTags(env.DEFAULT_TAGS),
      targetType,
      sslPolicy: env.DEFAULT_SSL_POLICY || SSL_POLICY,
    },
    externalTags: list(env.EXTERNAL_MANAGED_TAGS),
  };
}

const list = (text = '') =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function readTags(text: string | undefined): Tags {
  return Object.fromEntries(
    list(text).map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 1)
        throw new Error(`DEFAULT_TAGS has "${pair}": it is a list such as key1=value1,key2=value2`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

async function whereabouts(env: NodeJS.ProcessEnv): Promise<{ region: string; vpcId: string }> {
  const { AWS_REGION: region, AWS_VPC_ID: vpcId } = env;
  if (region && vpcId) return { region, vpcId };
  const { MetadataService } = await import('@aws-sdk/ec2-metadata-service');
  const metadata = new MetadataService({ httpOptions: { timeout: 2_000 } });
  const read = (path: string) => metadata.request(`/latest/meta-data/${path}`, {});
  try {
    const mac = vpcId ? '' : (await read('mac')).trim();
    return {
      region: region || (await read('placement/region')).trim(),
      vpcId: vpcId || (await read(`network/interfaces/macs/${mac}/vpc-id`)).trim(),
    };
  } catch (error) {
    throw new Error(
      `${region ? 'AWS_VPC_ID is' : 'AWS_REGION is'} not set, and instance metadata does not say: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
