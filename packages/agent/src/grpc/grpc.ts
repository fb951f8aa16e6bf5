/** gRPC, loaded when it is first needed: most nodes never need it. */
import { join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';

export const loadGrpc = async () => (await import('./grpc-runtime.ts')).grpc;

/** The services that a file defines, by their full names. Fields keep the names that the file gives them. */
export async function loadProto(
  folder: string,
  file: string,
): Promise<Readonly<Record<string, ServiceDefinition>>> {
  const { loadSync } = await import('./grpc-runtime.ts');
  const loaded = loadSync(join(folder, file), { keepCase: true, defaults: true, enums: String });
  return loaded as Record<string, ServiceDefinition>;
}
