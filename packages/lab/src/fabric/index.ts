/** The data plane of the lab's VPCs. */
export { type Drops, Fabric } from './fabric.ts';
export {
  AWS_ENDPOINT_ADDRESS,
  IMDS_ADDRESS,
  instanceNamespaceName,
  internetNamespaceName,
  natGatewayNamespaceName,
  portName,
  vpcNamespaceName,
} from './names.ts';
export { plan } from './plan.ts';
export type { DropReason } from './vpc.ts';
