import type { CloudState } from '../cloud/state.ts';
import { interfaceCable, planInstances, planServices, pluggedInterfaces } from './interfaces.ts';
import { connectedVpcs, internetCable, planInternet } from './internet.ts';
import { planLoadBalancers } from './load-balancers.ts';
import type { FabricPlan, NamespacePlan } from './model.ts';
import { internetNamespaceName, vpcNamespaceName } from './names.ts';
import { planNatGateway } from './nat-gateway.ts';
import { planVpc } from './vpc.ts';

/**
 * What the kernel has to hold for a cloud state.
 * @param prefix of the lab's namespaces.
 */
export function plan(state: CloudState, prefix: string): FabricPlan {
  const plugged = pluggedInterfaces(state, prefix);
  const namespaces = new Map<string, NamespacePlan>([
    [internetNamespaceName(prefix), planInternet(state)],
    ...Object.values(state.vpcs).map((vpc): [string, NamespacePlan] => [
      vpcNamespaceName(prefix, vpc.id),
      planVpc(
        state,
        vpc,
        plugged.filter(({ eni }) => eni.vpcId === vpc.id),
      ),
    ]),
    ...plugged
      .filter(({ eni }) => eni.kind === 'nat_gateway')
      .map((found): [string, NamespacePlan] => [found.host.namespace, planNatGateway(found)]),
    ...planInstances(state, prefix, plugged),
    ...planServices(plugged),
    ...planLoadBalancers(state, prefix, plugged),
  ]);
  const cables = [
    ...connectedVpcs(state).map((vpcId) => internetCable(vpcId, prefix)),
    ...plugged.map((found) => interfaceCable(found, prefix)),
  ];
  return { namespaces, cables };
}
