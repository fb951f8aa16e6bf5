import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

type Answer = (error: ServiceError | null, answer: { status: string }) => void;
type Health = Client & {
  check(request: { service: string }, options: { deadline: number }, done: Answer): void;
};
type HealthConstructor = new (address: string, creds: unknown) => Health;

let HealthClient: HealthConstructor | undefined;

/** @returns the serving status, such as SERVING. @param timeout in milliseconds. */
export function grpcHealth(address: string, service: string, timeout: number): Promise<string> {
  HealthClient ??= load();
  const client = new HealthClient(address, credentials.createInsecure());
  return new Promise<string>((resolve, reject) => {
    client.check({ service }, { deadline: Date.now() + timeout }, (error, answer) =>
      error ? reject(error) : resolve(answer.status),
    );
  }).finally(() => client.close());
}

function load(): HealthConstructor {
  const file = fileURLToPath(new URL('./grpc-health.proto', import.meta.url));
  const loaded = loadPackageDefinition(loadSync(file, { enums: String, defaults: true })) as unknown as {
    grpc: { health: { v1: { Health: HealthConstructor } } };
  };
  return loaded.grpc.health.v1.Health;
}
