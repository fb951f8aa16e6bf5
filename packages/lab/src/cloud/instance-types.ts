import { type InstanceLimits, instanceLimits } from '@enid/ipam';
import { Ec2Error } from './errors.ts';

/** An instance type and its limits. */
export type InstanceType = InstanceLimits & { readonly name: string };

/** @throws {Ec2Error} InvalidParameterValue for a type that the lab does not know the limits of. */
export function instanceType(name: string): InstanceType {
  const limits = instanceLimits(name);
  if (!limits) throw new Ec2Error('InvalidParameterValue', `Invalid value '${name}' for InstanceType.`);
  return { name, ...limits };
}
