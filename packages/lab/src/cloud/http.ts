/** The cloud's HTTP: EC2 for everyone, the lab's own API for the host, instance metadata for instances. */
import { type IncomingMessage, type RequestListener, type ServerResponse, STATUS_CODES } from 'node:http';
import { setTtl } from '@enid/linux';
import fastify, { type FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { AwsApi } from './api.ts';
import { type Faults, faultSchema } from './faults.ts';
import type { Imds } from './imds.ts';
import {
  type ServiceInterface,
  type ServiceInterfaceRequest,
  serviceInterfaceSchema,
} from './service-interfaces.ts';
import { type Settings, settingsSchema } from './settings.ts';
import type { CloudState } from './state.ts';

/** Requests of the Query protocol are short; only user data can be longer, up to 16 KiB. */
const BODY_LIMIT = 256 * 1024;

/** What the host may ask of the lab's cloud beside EC2. */
export type LabControl = {
  readonly faults: Faults;
  settings(): Settings;
  configure(settings: Settings): void;
  state(): CloudState;
  holdInterface(request: ServiceInterfaceRequest): Promise<ServiceInterface>;
};

/**
 * The application that answers the requests of AWS's clients.
 * @param control adds the lab's own API below `/_lab`, which is for the host and never for nodes.
 */
export async function awsApp(api: AwsApi, control?: LabControl): Promise<FastifyInstance> {
  const app = fastify({ bodyLimit: BODY_LIMIT });
  // The signature is over the body as it is: it stays a text.
  app.addContentTypeParser(
    ['application/x-www-form-urlencoded', 'application/x-amz-json-1.1'],
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
  app.route({
    method: ['GET', 'POST'],
    url: '/',
    async handler(request, reply) {
      const response = await api.handle({
        method: request.method,
        url: request.url,
        headers: request.headers as Record<string, string | undefined>,
        body: typeof request.body === 'string' ? request.body : '',
      });
      if (!response) {
        request.raw.socket.destroy();
        return reply.hijack();
      }
      return reply
        .code(response.status)
        .header('content-type', response.contentType)
        .header('x-amzn-requestid', response.requestId)
        .send(response.body);
    },
  });
  if (control) app.register(labRoutes, { prefix: '/_lab', control });
  await app.ready();
  return app;
}

/** Reads a JSON body. @throws an error with status 400 that names what is wrong. */
function parse<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => [...path, message].join(': '));
  throw Object.assign(new Error(issues.join('; ')), { statusCode: 400 });
}

/** `GET /state`; `POST /service-interfaces`; `GET`, `POST /settings`; `GET`, `POST`, `DELETE /faults` and `DELETE /faults/<id>`. */
async function labRoutes(app: FastifyInstance, { control }: { control: LabControl }): Promise<void> {
  const { faults } = control;
  app.get('/state', () => control.state());
  app.post('/service-interfaces', (request) =>
    control.holdInterface(parse(serviceInterfaceSchema, request.body)),
  );

  app.get('/settings', () => control.settings());
  app.post('/settings', (request) => {
    control.configure(parse(settingsSchema, { ...control.settings(), ...Object(request.body) }));
    return control.settings();
  });

  app.get('/faults', () => faults.list());
  app.post('/faults', (request, reply) => reply.code(201).send(faults.add(parse(faultSchema, request.body))));
  app.delete('/faults', (_request, reply) => {
    faults.clear();
    return reply.code(204).send();
  });
  app.delete<{ Params: { id: string } }>('/faults/:id', (request, reply) => {
    if (faults.delete(request.params.id)) return reply.code(204).send();
    throw Object.assign(new Error(`there is no fault ${request.params.id}`), { statusCode: 404 });
  });
}

/** Answers metadata requests that come out of one VPC. */
export function metadataListener(imds: Imds, vpcId: string): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const answer = imds.handle({
      vpcId,
      address: request.socket.remoteAddress ?? '',
      method: request.method ?? '',
      path: (request.url ?? '/').split('?', 1)[0]!,
      headers: request.headers,
    });
    if (!answer) {
      request.socket.destroy();
      return;
    }
    setTtl(request.socket, answer.hopLimit);
    response.writeHead(answer.status, STATUS_CODES[answer.status], {
      ...answer.headers,
      server: 'EC2ws',
      'content-length': Buffer.byteLength(answer.body),
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  };
}
