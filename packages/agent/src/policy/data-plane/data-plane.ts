import type { RuleRef } from '../rules.ts';
import type {
  Counters,
  DataPlaneOptions,
  Explanation,
  Flow,
  Guard,
  PolicyEvent,
  Question,
  Usage,
} from './types.ts';

/** What others may build on; tests stand in for it. */
export type PolicyDataPlane = Pick<DataPlane, keyof DataPlane>;

/**
 * Enforces rules on the packets of pods, by two programs on the links that the pods have on the node. What is in the kernel
 * outlives the process: the next one opens the same directory, guards the same pods, and puts its programs in place of the old ones
 * without a gap. A pod that is not guarded anew keeps the rules it had.
 *
 * Pods without a policy are guarded as well (with {@link unbound} rules): who began a flow is known only to who saw it
 * begin, and a policy that comes later must not cut the others.
 */
export class DataPlane {
  /**
   * Loads the programs. Nothing is enforced differently by that.
   * @throws {UnsupportedKernelError} naming the kernel that it takes, or what has to be mounted.
   */
  static open(_options: DataPlaneOptions): Promise<DataPlane> {
    throw new Error('not there yet');
  }

  /** Links that are guarded in the kernel, by this process or one before. */
  guarded(): number[] {
    throw new Error('not there yet');
  }

  /**
   * Puts rules in force on pods: those of a new pod stand when this resolves, those of a guarded one change from one
   * packet to the next. What several pods share should be changed in one call: it is then changed in place.
   * Calls do not wait for each other unless they concern the same pods or rules.
   * @throws {PolicyNotHeldError} when some could not be held: those are closed, the others in force.
   */
  guard(_guards: readonly Guard[]): Promise<void> {
    throw new Error('not there yet');
  }

  /** Takes the programs off a link, which may be gone: everything passes. */
  release(_ifindex: number): Promise<void> {
    throw new Error('not there yet');
  }

  /** What the kernel's maps say of a packet that begins a flow. */
  explain(_question: Question): Explanation {
    throw new Error('not there yet');
  }

  /** Flows of a pod, or of all, that the kernel holds. */
  flows(_ifindex?: number): Promise<Flow[]> {
    throw new Error('not there yet');
  }

  /** Events as they come, until {@link close}. There is one reader. */
  events(): AsyncIterable<PolicyEvent> {
    throw new Error('not there yet');
  }

  counters(): Counters {
    throw new Error('not there yet');
  }

  usage(): Usage {
    throw new Error('not there yet');
  }

  /** The rules that stand in the kernel's maps, by the numbers they have there. */
  rule(_id: number): RuleRef | undefined {
    throw new Error('not there yet');
  }

  /** Lets go of the kernel's objects; what is enforced stays enforced. */
  close(): Promise<void> {
    throw new Error('not there yet');
  }
}
