/**
 * The CNI operations: an address from L-IPAM, wiring in the kernel, and a result for the runtime.
 *
 * Operations on one attachment run one after the other, in the order they came.
 */
import { attachmentId } from '../network/names.ts';
import type { Pods, VethPair, WiredPod } from '../network/pods.ts';
import { type Sandbox, SandboxError } from '../network/sandbox.ts';
import { type AddressPool, type Assignment, NoAddressError, type SandboxMetadata } from '../seams.ts';
import { CniCode, CniError } from './error.ts';
import { KeyedQueue } from './queue.ts';
import type { AttachmentRequest, CniRequest, NetworkConfig } from './request.ts';
import { addressesOn, makeResult } from './result.ts';
import { supportedVersions } from './version.ts';

const supportHint = 'See the log of the aws-node pod on this node.';

export class CniPlugin {
  readonly #pool: AddressPool;
  readonly #pods: Pods;
  readonly #queue = new KeyedQueue();

  constructor(pool: AddressPool, pods: Pods) {
    this.#pool = pool;
    this.#pods = pods;
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

  async #add({ key, netns, args, config }: AttachmentRequest): Promise<object> {
    using sandbox = this.#open(netns!);
    const held = this.#pool.lookup(key);
    const metadata = metadataOf(args);
    const [pair, assigned] = await Promise.allSettled([
      this.#pods.prepare({ key, metadata }, sandbox),
      this.#assign(key, metadata),
    ]);
    try {
      if (pair.status === 'rejected') throw wiringError(pair.reason);
      if (assigned.status === 'rejected') throw assigned.reason;
      const wired = await this.#connect(pair.value, assigned.value, sandbox);
      return makeResult(config.cniVersion, wired, config.prevResult, config.dns);
    } catch (error) {
      if (pair.status === 'fulfilled') await this.#pods.discard(pair.value, { key });
      // When the interface is there from an earlier ADD of this attachment, what that made stays as it is.
      const refused = pair.status === 'rejected' && pair.reason instanceof SandboxError;
      if (assigned.status === 'fulfilled' && !(refused && held)) {
        await this.#pods.remove(assigned.value, netns);
        await this.#pool.release(key);
      }
      throw error;
    }
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
    // The link goes in the background; should that fail, reconciling finds it.
    this.#pods.remove(assignment, netns).catch(() => {});
    await this.#pool.release(key);
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
    const stale = this.#pool.assignments().filter(({ key }) => {
      const id = attachmentId(key);
      return key.network === name && !valid.has(id) && !this.#queue.has(id);
    });
    await Promise.all(
      stale.map(({ key }) =>
        this.#queue.run(attachmentId(key), () => this.#delete({ key, netns: undefined })),
      ),
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

  async #assign(key: Assignment['key'], metadata: SandboxMetadata): Promise<Assignment> {
    try {
      return await this.#pool.assign(key, metadata);
    } catch (error) {
      if (!(error instanceof NoAddressError)) throw error;
      throw new CniError(CniCode.tryAgainLater, error.message, undefined, { cause: error });
    }
  }
}

function metadataOf(args: AttachmentRequest['args']): SandboxMetadata {
  const k8sPodNamespace = args.get('K8S_POD_NAMESPACE');
  const k8sPodName = args.get('K8S_POD_NAME');
  return { ...(k8sPodNamespace && { k8sPodNamespace }), ...(k8sPodName && { k8sPodName }) };
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
