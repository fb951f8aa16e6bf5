/**
 * The CNI operations: an address from L-IPAM, wiring in the kernel, and a result for the runtime.
 *
 * Operations on one attachment run one after the other, in the order they came.
 */
import { faultPoint } from '../fault-point.ts';
import { attachmentId } from '../network/names.ts';
import type { Pods, VethPair, WiredPod } from '../network/pods.ts';
import { type Sandbox, SandboxError } from '../network/sandbox.ts';
import { type PodGuard, PolicyUnknownError } from '../policy/guard.ts';
import { type AddressPool, type Assignment, NoAddressError, type SandboxKey } from '../seams.ts';
import { CniCode, CniError } from './error.ts';
import { type AttachmentObserver, nobody, type PodIdentity } from './observer.ts';
import { KeyedQueue } from './queue.ts';
import type { AttachmentRequest, CniRequest, NetworkConfig } from './request.ts';
import { addressesOn, makeResult } from './result.ts';
import { sandboxMetadata } from './sandboxes/metadata.ts';
import { supportedVersions } from './version.ts';

const supportHint = 'See the log of the aws-node pod on this node.';

export class CniPlugin {
  readonly #pool: AddressPool;
  readonly #pods: Pods;
  readonly #observer: AttachmentObserver;
  readonly #guard: PodGuard | undefined;
  /** The links of pods that are guarded, by attachment. */
  readonly #guarded = new Map<string, number>();
  readonly #queue = new KeyedQueue();

  /**
   * @param observer told of what pods got and were refused.
   * @param guard fences pods in.
   */
  constructor(pool: AddressPool, pods: Pods, observer: AttachmentObserver = nobody, guard?: PodGuard) {
    this.#pool = pool;
    this.#pods = pods;
    this.#observer = observer;
    this.#guard = guard;
  }

  /**
   * Carries an operation out.
   * @returns what is printed as JSON; undefined when nothing is.
   * @throws {CniError}
   */
  async handle(request: CniRequest): Promise<object | undefined> {
    switch (request.command) {
      case 'VERSION':
        return { supportedVersions };
      case 'STATUS':
        return this.#status();
      case 'GC':
        return this.#collectGarbage(request.config);
      case 'ADD':
        return this.#queue.run(attachmentId(request.key), () => this.#add(request));
      case 'DEL':
        return this.#queue.run(attachmentId(request.key), () => this.#delete(request));
      case 'CHECK':
        return this.#queue.run(attachmentId(request.key), () => this.#check(request));
    }
  }

  /**
   * An address for a pod that somebody else wires; the same attachment gets the same again.
   * @throws {NoAddressError}
   */
  assign(key: SandboxKey, pod: PodIdentity): Promise<Assignment> {
    return this.#queue.run(attachmentId(key), async () => {
      const assignment = await this.#take(key, pod);
      this.#observer.added(assignment, pod.uid);
      return assignment;
    });
  }

  /** Takes the address of {@link assign} back. @returns what was held. */
  release(key: SandboxKey): Promise<Assignment | undefined> {
    return this.#queue.run(attachmentId(key), () => this.#release(key));
  }

  /** Takes down and releases an attachment whose sandbox is gone. */
  forget(key: SandboxKey): Promise<void> {
    return this.#queue.run(attachmentId(key), () => this.#delete({ key, netns: undefined }));
  }

  /** True while an operation on the attachment runs or waits: whatever else is known of it is older. */
  isBusy(key: SandboxKey): boolean {
    return this.#queue.has(attachmentId(key));
  }

  async #add({ key, netns, args, config }: AttachmentRequest): Promise<object> {
    using sandbox = this.#open(netns!);
    const held = this.#pool.lookup(key);
    const pod = podOf(args, sandbox);
    faultPoint('add-begun');
    const [pair, assigned] = await Promise.allSettled([
      this.#pods.prepare({ key, metadata: pod.metadata }, sandbox),
      this.#assign(key, pod),
    ]);
    faultPoint('add-prepared');
    try {
      if (pair.status === 'rejected') throw wiringError(pair.reason);
      if (assigned.status === 'rejected') throw assigned.reason;
      // The pod's end is down still.
      await this.#fence(key, pod, pair.value);
      const wired = await this.#connect(pair.value, assigned.value, sandbox);
      faultPoint('add-connected');
      this.#observer.added(assigned.value, pod.uid);
      return makeResult(config.cniVersion, wired, config.prevResult, config.dns);
    } catch (error) {
      if (pair.status === 'fulfilled') {
        await this.#pods.discard(pair.value, { key });
        this.#unfence(key);
      }
      // When the interface is there from an earlier ADD of this attachment, what that made stays as it is.
      const refused = pair.status === 'rejected' && pair.reason instanceof SandboxError;
      if (assigned.status === 'fulfilled' && !(refused && held)) {
        await this.#pods.remove(assigned.value, netns);
        await this.#pool.release(key);
      }
      throw error;
    }
  }

  async #fence(key: SandboxKey, pod: PodIdentity, { host }: VethPair): Promise<void> {
    if (!this.#guard) return;
    try {
      await this.#guard.guard(pod, host.index);
      this.#guarded.set(attachmentId(key), host.index);
    } catch (error) {
      const { message } = error as Error;
      const unknown = error instanceof PolicyUnknownError;
      throw new CniError(
        unknown ? CniCode.tryAgainLater : CniCode.internal,
        unknown ? message : `network policies cannot be put in force on the pod: ${message}`,
        unknown ? undefined : supportHint,
        { cause: error },
      );
    }
  }

  #unfence(key: SandboxKey): void {
    const ifindex = this.#guarded.get(attachmentId(key));
    if (ifindex === undefined) return;
    this.#guarded.delete(attachmentId(key));
    this.#guard?.release(ifindex);
  }

  async #connect(pair: VethPair, assignment: Assignment, sandbox: Sandbox): Promise<WiredPod> {
    try {
      return await this.#pods.connect(pair, assignment, sandbox);
    } catch (error) {
      throw wiringError(error as Error, ` with ${assignment.address} of ${assignment.eni.id}`);
    }
  }

  async #delete({ key, netns }: Pick<AttachmentRequest, 'key' | 'netns'>): Promise<undefined> {
    const assignment = this.#pool.lookup(key);
    if (!assignment) return;
    faultPoint('del-begun');
    // The link goes in the background; should that fail, reconciling finds it.
    this.#pods.remove(assignment, netns).then(
      () => this.#unfence(key),
      () => {},
    );
    faultPoint('del-unwired');
    await this.#release(key);
    faultPoint('del-released');
  }

  async #release(key: SandboxKey): Promise<Assignment | undefined> {
    const released = await this.#pool.release(key);
    if (released) this.#observer.removed(released);
    return released;
  }

  async #check({ key, netns, config }: AttachmentRequest): Promise<undefined> {
    const { prevResult } = config;
    if (!prevResult) {
      throw new CniError(
        CniCode.invalidConfig,
        'prevResult is missing in the network configuration',
        'CHECK compares with it; the runtime gives the result of the last ADD.',
      );
    }
    const assignment = this.#pool.lookup(key);
    if (!assignment) {
      throw failedCheck(`${key.containerId} has no address in the network ${key.network}`);
    }
    const told = addressesOn(prevResult, key.ifName, netns!);
    if (!told?.includes(`${assignment.address}/32`)) {
      throw failedCheck(
        `prevResult gives ${key.ifName} ${told?.join(', ') || 'no address'}, ` +
          `but it was assigned ${assignment.address}/32`,
      );
    }
    using sandbox = this.#open(netns!);
    const problems = this.#pods.check(assignment, sandbox);
    if (problems.length > 0) throw failedCheck(problems.join('; '));
  }

  async #collectGarbage({ name, validAttachments }: NetworkConfig): Promise<undefined> {
    if (!validAttachments) {
      throw new CniError(
        CniCode.invalidConfig,
        'cni.dev/valid-attachments is missing in the network configuration',
        'GC takes away what is not in it; an empty list takes away everything.',
      );
    }
    const valid = new Set(
      validAttachments.map(({ containerID, ifname }) =>
        attachmentId({ network: name, containerId: containerID, ifName: ifname }),
      ),
    );
    // An attachment that is being worked on at this moment is newer than the runtime's list.
    const stale = this.#pool
      .assignments()
      .filter(({ key }) => key.network === name && !valid.has(attachmentId(key)) && !this.isBusy(key));
    const done = await Promise.allSettled(stale.map(({ key }) => this.forget(key)));
    const failed = done.flatMap((end, at) =>
      end.status === 'rejected' ? [`${stale[at]!.key.containerId}: ${(end.reason as Error).message}`] : [],
    );
    if (failed.length === 0) return;
    throw new CniError(
      CniCode.internal,
      `${failed.length} of ${stale.length} stale attachments could not be taken away: ${failed.join('; ')}`,
      'The runtime asks again later; the rest is gone.',
    );
  }

  #status(): undefined {
    const readiness = this.#pool.ready();
    if (readiness.ok) return;
    throw new CniError(
      CniCode.notAvailable,
      readiness.reason,
      'Pods can be added again when this has cleared up.',
    );
  }

  #open(path: string): Sandbox {
    try {
      return this.#pods.open(path);
    } catch (error) {
      throw error instanceof SandboxError ? sandboxError(error) : error;
    }
  }

  async #take(key: SandboxKey, pod: PodIdentity): Promise<Assignment> {
    try {
      return await this.#pool.assign(key, pod.metadata);
    } catch (error) {
      if (error instanceof NoAddressError) this.#observer.refused(pod, error);
      throw error;
    }
  }

  async #assign(key: SandboxKey, pod: PodIdentity): Promise<Assignment> {
    try {
      return await this.#take(key, pod);
    } catch (error) {
      if (!(error instanceof NoAddressError)) throw error;
      throw new CniError(CniCode.tryAgainLater, error.message, undefined, { cause: error });
    }
  }
}

function podOf(args: AttachmentRequest['args'], { path, ns }: Sandbox): PodIdentity {
  const uid = args.get('K8S_POD_UID');
  const metadata = sandboxMetadata({
    namespace: args.get('K8S_POD_NAMESPACE'),
    name: args.get('K8S_POD_NAME'),
    uid,
    netns: { path, inode: ns.inode },
  });
  return { metadata, ...(uid && { uid }) };
}

function wiringError(error: Error, what = ''): CniError {
  if (error instanceof SandboxError) return sandboxError(error);
  const message = `cannot wire the pod${what}: ${error.message}`;
  return new CniError(CniCode.internal, message, supportHint, { cause: error });
}

function sandboxError(error: SandboxError): CniError {
  const { code, wayOut } = sandboxProblems[error.problem];
  const variable = error.problem === 'interface exists' ? 'CNI_IFNAME' : 'CNI_NETNS';
  return new CniError(code, `${variable}: ${error.message}`, wayOut, { cause: error });
}

const sandboxProblems = {
  gone: {
    code: CniCode.unknownContainer,
    wayOut: 'The container has ended; the runtime makes a new one.',
  },
  invalid: {
    code: CniCode.invalidEnvironment,
    wayOut:
      'It must be the path of a network namespace of its own, such as /run/netns/NAME or /proc/PID/ns/net.',
  },
  'interface exists': {
    code: CniCode.invalidEnvironment,
    wayOut: 'Delete the interface or the earlier attachment (DEL), or choose another CNI_IFNAME.',
  },
} as const;

function failedCheck(cause: string): CniError {
  return new CniError(CniCode.checkFailed, cause, 'Delete the pod; its controller makes a new one.');
}
