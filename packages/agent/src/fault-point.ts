/**
 * Where a test may have the agent killed: `ENID_FAULT_POINT=eni-created` ends the process by SIGKILL when it first comes to
 * that point, `eni-created:3` when it comes there for the third time. Without the variable a point is an empty function.
 */

/** Every point, named for what has just happened. */
export const FAULT_POINTS = [
  // ADD, of a pod.
  'add-begun',
  'add-prepared',
  'add-connected',
  // DEL, of a pod.
  'del-begun',
  'del-unwired',
  'del-released',
  // A pod's link in the kernel: the pair is there; the node's end of it is routed, the pod's is up with its address.
  'link-made',
  'link-routed',
  'link-connected',
  // The same taken away: the pod's address, what leads to it, the pair.
  'link-mute',
  'link-unrouted',
  'link-deleted',
  // An address chosen or taken back, in memory; then on disk.
  'assign-decided',
  'assign-written',
  'release-decided',
  'release-written',
  // The checkpoint: a new file is empty, is complete, has taken the place of the old one.
  'checkpoint-opened',
  'checkpoint-complete',
  'checkpoint-replaced',
  // An ENI on its way to the node.
  'eni-created',
  'eni-attached',
  'eni-marked',
  'eni-shown',
  'eni-up',
  'eni-offered',
  // An ENI on its way back.
  'eni-leaving',
  'eni-down',
  'eni-detached',
  'eni-deleted',
  // Addresses and prefixes of an ENI.
  'slots-asked',
  'slots-assigned',
  'slots-offered',
  'slots-withdrawn',
  'slots-unassigned',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];

/** Ends the process here, when this is the point that was chosen. */
export const faultPoint: (point: FaultPoint) => void = armed(process.env.ENID_FAULT_POINT);

function armed(chosen: string | undefined): (point: FaultPoint) => void {
  if (!chosen) return () => {};
  const [name, times = '1'] = chosen.split(':');
  if (!FAULT_POINTS.some((point) => point === name))
    throw new Error(`ENID_FAULT_POINT is "${chosen}" but must be one of ${FAULT_POINTS.join(', ')}`);
  let left = Number(times);
  return (point) => {
    if (point === name && --left === 0) process.kill(process.pid, 'SIGKILL');
  };
}
