import type { NetNamespace } from '@enid/linux';
import type { CloudState } from './state.ts';

/** What the cloud asks of the network beneath it. */
export interface NetworkFabric {
  /**
   * Makes the kernel match `state`. Resolves when this state, or a later one, is in force.
   * @throws when the kernel refuses: the change behind it is then undone.
   */
  sync(state: CloudState): Promise<void>;
  /**
   * The namespace of a VPC, in which 169.254.169.250 (EC2) and 169.254.169.254 (IMDS) are local addresses.
   * Undefined when the VPC does not exist, or when this network has no namespaces.
   */
  vpcNamespace(vpcId: string): NetNamespace | undefined;
}

/** What serves as the account's load balancers, in the namespaces that the network has for them. */
export interface LoadBalancerPlane {
  /**
   * Makes them do what {@link import('./elbv2/serving.ts').servingLoadBalancers} says of `state`. Resolves when new
   * connections are served so; it waits for no target.
   * @throws when that cannot be: the change behind it is then undone.
   */
  sync(state: CloudState): Promise<void>;
}
