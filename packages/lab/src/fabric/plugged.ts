import type { NetworkInterface, Subnet } from '../cloud/state.ts';

/** A network interface that is plugged in, and what it is plugged into. */
export type PluggedInterface = {
  readonly eni: NetworkInterface;
  readonly subnet: Subnet;
  readonly host: { readonly namespace: string; readonly link: string; readonly boots: boolean };
};
