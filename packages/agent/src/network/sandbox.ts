/** The inside of a pod: its network namespace, opened by the path that the runtime names. */
import { statSync } from 'node:fs';
import { NetNamespace, Rtnetlink, SyscallError } from '@enid/linux';

/** Why a sandbox cannot be used. `gone`: there is nothing at the path; `invalid`: there is something else. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  readonly problem: 'gone' | 'invalid' | 'interface exists';

  constructor(problem: SandboxError['problem'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}

/** A pod's network namespace with a netlink socket in it. It is let go by `using` or `close`. */
export class Sandbox implements Disposable {
  /** CNI_NETNS. */
  readonly path: string;
  readonly ns: NetNamespace;
  readonly netlink: Rtnetlink;

  private constructor(path: string, ns: NetNamespace) {
    this.path = path;
    this.ns = ns;
    this.netlink = Rtnetlink.open(ns);
  }

  /**
   * @param path such as `/run/netns/cni-...` or `/proc/1234/ns/net`.
   * @param node the node's own namespace, which is nobody's sandbox.
   * @throws {SandboxError} `gone` or `invalid`.
   */
  static open(path: string, node: NetNamespace): Sandbox {
    const ns = openNamespace(path);
    try {
      if (ns.inode === node.inode) {
        throw new SandboxError('invalid', `${path} is the network namespace of the node itself`);
      }
      return new Sandbox(path, ns);
    } catch (error) {
      ns.close();
      throw error;
    }
  }

  close(): void {
    this.netlink.close();
    this.ns.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openNamespace(path: string): NetNamespace {
  try {
    // A namespace is a regular file. Other kinds are refused unopened: opening a pipe would wait for its writer.
    if (!statSync(path).isFile()) throw new SandboxError('invalid', `${path} is no network namespace`);
    return NetNamespace.open(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new SandboxError('gone', `there is no network namespace at ${path}`, { cause: error });
    }
    if (error instanceof SyscallError && code === 'EINVAL') {
      throw new SandboxError('invalid', `${path} is no network namespace`, { cause: error });
    }
    if (error instanceof SandboxError) throw error;
    throw new SandboxError('invalid', `cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
}
