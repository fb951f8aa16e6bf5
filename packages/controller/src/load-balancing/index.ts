/** Load balancers for Services and Ingresses. It loads AWS's SDK, which takes a while: import it where it is used. */

export { gateInjector } from './targets/gates.ts';
export * from './targets/objects.ts';
export { startTargetGroupBindings, type TargetGroupBindingOptions } from './targets/target-group-bindings.ts';
