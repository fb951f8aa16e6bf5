/**
 * Reads a CNI call as the executable hands it over: environment and configuration, checked as the CNI
 * specification (SPEC.md 0.3.1 to 1.1.0) asks for, before anything is done.
 */
import { z } from 'zod';
import type { SandboxKey } from '../seams.ts';
import { CniCode, CniError } from './error.ts';
import type { CniResult } from './result.ts';
import { atLeast, type CniVersion, newestVersion, supportedVersions } from './version.ts';

/** One attachment in the list that the runtime gives to GC. */
type ValidAttachment = { readonly containerID: string; readonly ifname: string };

export type NetworkConfig = {
  readonly cniVersion: CniVersion;
  readonly name: string;
  readonly prevResult?: CniResult;
  readonly dns?: object;
  readonly validAttachments?: readonly ValidAttachment[];
};

/** ADD, DEL or CHECK of one attachment. */
export type AttachmentRequest = {
  readonly command: 'ADD' | 'DEL' | 'CHECK';
  readonly key: SandboxKey;
  /** Path of the pod's network namespace; DEL can come without. */
  readonly netns: string | undefined;
  /** CNI_ARGS, for instance K8S_POD_NAME. */
  readonly args: ReadonlyMap<string, string>;
  readonly config: NetworkConfig;
};

export type CniRequest =
  | AttachmentRequest
  | { readonly command: 'GC' | 'STATUS'; readonly config: NetworkConfig }
  | { readonly command: 'VERSION' };

/** The version of the specification that a command came with; the older ones have no such command. */
const commandSince = {
  VERSION: '0.3.1',
  ADD: '0.3.1',
  DEL: '0.3.1',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
} as const;
type Command = keyof typeof commandSince;

const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

const index = z.int().nonnegative();
const resultSchema = z.looseObject({
  interfaces: z.array(z.looseObject({ name: z.string(), sandbox: z.string().optional() })).optional(),
  ips: z.array(z.looseObject({ address: z.string(), interface: index.optional() })).optional(),
  routes: z.array(z.looseObject({ dst: z.string() })).optional(),
  dns: z.looseObject({}).optional(),
});

const attachmentsSchema = z.array(z.looseObject({ containerID: z.string(), ifname: z.string() })).nullish();

const configSchema = z.looseObject({
  name: z
    .string()
    .regex(identifier, 'must begin with a letter or digit and hold only letters, digits, . _ -'),
  prevResult: resultSchema.nullish(),
  dns: z.looseObject({}).nullish(),
  'cni.dev/valid-attachments': attachmentsSchema,
  // As libcni named it before the specification was corrected; it sends both.
  'cni.dev/attachments': attachmentsSchema,
});

/** What the executable sends: the CNI_* variables, and standard input as it came. */
export type Frame = { readonly env: ReadonlyMap<string, string>; readonly stdin: string };

/**
 * Takes the executable's message apart: `KEY=VALUE\0` for each CNI_* variable, one more `\0`, then stdin.
 * @throws {CniError} code 5 when it was cut off.
 */
export function decodeFrame(message: Buffer): Frame {
  const env = new Map<string, string>();
  let at = 0;
  for (;;) {
    const end = message.indexOf(0, at);
    if (end < 0) throw new CniError(CniCode.ioFailure, 'the call was cut off before its configuration began');
    const variable = message.toString('utf8', at, end);
    at = end + 1;
    if (variable === '') return { env, stdin: message.toString('utf8', at) };
    const equals = variable.indexOf('=');
    env.set(variable.slice(0, equals), variable.slice(equals + 1));
  }
}

/** The version that an answer must carry, also when nothing else of the configuration can be read. */
export function answerVersion(stdin: string): string {
  try {
    const { cniVersion } = JSON.parse(stdin) as { cniVersion?: unknown };
    return typeof cniVersion === 'string' && /^[0-9.]+$/.test(cniVersion) ? cniVersion : newestVersion;
  } catch {
    return newestVersion;
  }
}

/**
 * Checks a call.
 * @throws {CniError} code 1, 4, 6 or 7, naming what is wrong and what would be right.
 */
export function parseRequest({ env, stdin }: Frame): CniRequest {
  const command = parseCommand(env.get('CNI_COMMAND'));
  if (command === 'VERSION') return { command };
  const attachment =
    command === 'GC' || command === 'STATUS' ? undefined : { command, ...parseAttachment(command, env) };
  const config = parseConfig(stdin);
  if (!atLeast(config.cniVersion, commandSince[command])) {
    throw new CniError(
      CniCode.incompatibleVersion,
      `CNI_COMMAND ${command} does not exist in cniVersion ${config.cniVersion}`,
      `Set cniVersion to ${commandSince[command]} or later in the network configuration.`,
    );
  }
  if (!attachment) return { command, config } as CniRequest;
  const { command: operation, containerId, ifName, netns, args } = attachment;
  return { command: operation, key: { network: config.name, containerId, ifName }, netns, args, config };
}

function parseCommand(command: string | undefined): Command {
  if (command !== undefined && Object.hasOwn(commandSince, command)) return command as Command;
  throw invalid(
    command ? `CNI_COMMAND "${command}" is unknown` : 'CNI_COMMAND is not set',
    `It must be one of ${Object.keys(commandSince).join(', ')}.`,
  );
}

function parseAttachment(command: 'ADD' | 'DEL' | 'CHECK', env: Frame['env']) {
  const required = ['CNI_CONTAINERID', 'CNI_IFNAME', ...(command === 'DEL' ? [] : ['CNI_NETNS'])];
  const missing = required.filter((name) => !env.get(name));
  if (missing.length > 0) {
    throw invalid(`${missing.join(', ')} must be set for ${command}`, 'The container runtime sets them.');
  }
  const containerId = env.get('CNI_CONTAINERID')!;
  if (!identifier.test(containerId)) {
    throw invalid(
      `CNI_CONTAINERID "${containerId}" is not a container id`,
      'It must begin with a letter or digit and hold only letters, digits, . _ -',
    );
  }
  const ifName = env.get('CNI_IFNAME')!;
  if (!isInterfaceName(ifName)) {
    throw invalid(
      `CNI_IFNAME "${ifName}" is not a name that an interface can have`,
      'It must have 1 to 15 bytes, be neither "." nor "..", and hold no slash, colon or white space.',
    );
  }
  return {
    containerId,
    ifName,
    netns: env.get('CNI_NETNS') || undefined,
    args: parseArgs(env.get('CNI_ARGS')),
  };
}

/** What dev_valid_name() of the kernel lets pass. */
function isInterfaceName(name: string): boolean {
  return Buffer.byteLength(name) <= 15 && name !== '.' && name !== '..' && /^[^/:\s]+$/.test(name);
}

/** `K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0`. What is not known is left unread. */
function parseArgs(text = ''): Map<string, string> {
  const pairs = text.split(';').filter((pair) => pair !== '');
  return new Map(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)];
      throw invalid(`CNI_ARGS has "${pair}", which is not KEY=VALUE`, 'It must read KEY=VALUE;KEY=VALUE.');
    }),
  );
}

function parseConfig(stdin: string): NetworkConfig {
  let json: unknown;
  try {
    json = JSON.parse(stdin);
  } catch (error) {
    throw new CniError(
      CniCode.decodingFailure,
      `the network configuration is not JSON: ${(error as Error).message}`,
      'Correct the file in the CNI configuration directory, or let the agent write it again by a restart.',
      { cause: error },
    );
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new CniError(CniCode.decodingFailure, 'the network configuration is not a JSON object');
  }
  const cniVersion = supportedVersions.find((version) => version === (json as NetworkConfig).cniVersion);
  if (cniVersion === undefined) {
    const given = 'cniVersion' in json ? `cniVersion ${JSON.stringify(json.cniVersion)}` : 'no cniVersion';
    throw new CniError(
      CniCode.incompatibleVersion,
      `the network configuration has ${given}, which is not supported`,
      `Supported: ${supportedVersions.join(', ')}.`,
    );
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new CniError(CniCode.invalidConfig, `the network configuration is invalid: ${problems.join('; ')}`);
  }
  const { name, prevResult, dns } = parsed.data;
  const validAttachments = parsed.data['cni.dev/valid-attachments'] ?? parsed.data['cni.dev/attachments'];
  return {
    cniVersion,
    name,
    ...(prevResult && { prevResult: prevResult as CniResult }),
    ...(dns && { dns }),
    ...(validAttachments && { validAttachments }),
  };
}

function invalid(cause: string, wayOut: string): CniError {
  return new CniError(CniCode.invalidEnvironment, cause, wayOut);
}
