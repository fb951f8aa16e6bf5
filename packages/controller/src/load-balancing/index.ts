/** Load balancers for Services and Ingresses. It loads AWS's SDK, which takes a while: import it where it is used. */

export { AwsAccount } from './aws/account.ts';
export { type AwsClients, type AwsOptions, openAws } from './aws/clients.ts';
export { AwsError } from './aws/error.ts';
export * from './configuration.ts';
export { type BindingStore, Bindings } from './deploy/bindings.ts';
export { type Change, type Description, describe } from './deploy/changes.ts';
export { Deployments, type DeploymentsOptions } from './deploy/deployments.ts';
export type { Existing } from './deploy/existing.ts';
export { NotYet } from './deploy/not-yet.ts';
export * from './load-balancers.ts';
export * from './model/account.ts';
export { InvalidObject } from './model/errors.ts';
export * from './model/identity.ts';
export * from './model/stack.ts';
export { type PlanAnswer, type PlanQuestion, planFor } from './plan-for.ts';
export { gateInjector } from './targets/gates.ts';
export * from './targets/objects.ts';
export { startTargetGroupBindings, type TargetGroupBindingOptions } from './targets/target-group-bindings.ts';
