import type { Ipv4 } from '@enid/ip';
import { z } from 'zod';
import { checkGroups, createInterface } from './interfaces.ts';
import type { Context } from './operation.ts';
import { find } from './resources.ts';

/** An interface that an AWS service wants in a subnet of the account, as EKS does for the API server of a cluster. */
export const serviceInterfaceSchema = z.strictObject({
  /** Name of the service: up to 12 lower-case letters and digits. */
  holder: z.string().regex(/^[a-z][a-z0-9]{0,11}$/),
  subnetId: z.string(),
  groups: z.array(z.string()),
  description: z.string(),
});

export type ServiceInterfaceRequest = z.output<typeof serviceInterfaceSchema>;
export type ServiceInterface = { readonly id: string; readonly address: Ipv4; readonly holder: string };

/**
 * Gives a service its interface, or the one that it has. The account sees it, as requester-managed, and cannot detach it.
 * @throws {Ec2Error} for a subnet or groups that do not exist, and addresses that cannot be had.
 */
export function holdInterface(context: Context, request: ServiceInterfaceRequest): ServiceInterface {
  const { holder } = request;
  const held = Object.values(context.state.networkInterfaces).find((eni) => eni.holder === holder);
  const subnet = find(context.state, 'subnet', request.subnetId);
  const eni =
    held ??
    createInterface(context, subnet, {
      holder,
      description: request.description,
      groups: checkGroups(context, request.groups, { vpcId: subnet.vpcId, subnetId: subnet.id }),
      tags: {},
    });
  return { id: eni.id, address: eni.primaryIp, holder };
}
