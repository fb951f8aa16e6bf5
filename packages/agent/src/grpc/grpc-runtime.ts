/** What `grpc.ts` loads on demand. The modules are CommonJS: imported on demand themselves, they would lose their names in a bundle. */
export * as grpc from '@grpc/grpc-js';
export { loadSync } from '@grpc/proto-loader';
