import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { suite, test } from 'node:test';
import * as acm from '@aws-sdk/client-acm';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import type { HttpRequest } from '@smithy/core/protocols';
import type { NormalizedSchema } from '@smithy/core/schema';
import fc from 'fast-check';
import { AwsError } from '../errors.ts';
import { decodeJson, encodeJson } from '../json/json.ts';
import { acm as acmService } from '../services/acm.ts';
import { elbv2 } from '../services/elbv2.ts';
import { decode } from './decode.ts';
import { encodeAwsQuery } from './encode.ts';
import { AWS_QUERY, operationSchema } from './schema.ts';

/** Random values of a schema, with every member set but maps, which no operation of the lab reads. */
function valuesOf(schema: NormalizedSchema): fc.Arbitrary<unknown> {
  if (schema.isStructSchema()) {
    const model: Record<string, fc.Arbitrary<unknown>> = {};
    for (const [name, member] of schema.structIterator()) {
      if (!member.isMapSchema()) model[name] = valuesOf(member);
    }
    return fc.record(model, { noNullPrototype: true, requiredKeys: Object.keys(model) });
  }
  if (schema.isListSchema()) {
    return fc.array(valuesOf(schema.getValueSchema()), { minLength: 1, maxLength: 2 });
  }
  if (schema.isBooleanSchema()) return fc.boolean();
  if (schema.isNumericSchema()) return fc.integer();
  if (schema.isTimestampSchema()) {
    // JSON has them in seconds.
    return fc.integer({ min: 0, max: 4e9 }).map((seconds) => new Date(seconds * 1000));
  }
  if (schema.isBlobSchema()) return fc.uint8Array({ minLength: 1, maxLength: 8 });
  return fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 8 }).map((text) => `:${text}:`);
}

const objectsOf = (schema: NormalizedSchema): fc.Arbitrary<object> =>
  schema.isUnitSchema() ? fc.constant({}) : (valuesOf(schema) as fc.Arbitrary<object>);

type Answer = { $metadata: unknown };
type Client = { send(command: never): Promise<Answer> };
type Exchange = (request: HttpRequest) => { statusCode: number; body: string };

/** The settings of a client of the SDK whose requests go to a function instead of the network. */
const settings = (answer: Exchange) => ({
  region: 'us-east-1',
  credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
  maxAttempts: 1,
  requestHandler: {
    async handle(request: HttpRequest) {
      const { statusCode, body } = answer(request);
      const headers = { 'content-type': 'application/x-amz-json-1.1' };
      return { response: { statusCode, headers, body: Readable.from([Buffer.from(body)]) } };
    },
  },
});

const operationsOf = (sdk: object) =>
  Object.keys(sdk)
    .filter((name) => name.endsWith('Command'))
    .map((name) => name.slice(0, -'Command'.length))
    .filter((name) => operationSchema(name, sdk));

/** Sends every operation of a service with random inputs and answers it with random outputs. */
async function exchange(
  sdk: object,
  operations: readonly string[],
  clientOf: (answer: Exchange) => Client,
  read: (input: NormalizedSchema, request: HttpRequest) => unknown,
  write: (operation: string, output: NormalizedSchema, answered: object) => string,
): Promise<void> {
  for (const operation of operations) {
    const { input, output } = operationSchema(operation, sdk)!;
    await fc.assert(
      fc.asyncProperty(objectsOf(input), objectsOf(output), async (sent, answered) => {
        let received: unknown;
        const client = clientOf((request) => {
          received = read(input, request);
          return { statusCode: 200, body: write(operation, output, answered) };
        });
        const Command = (sdk as Record<string, new (input: object) => never>)[`${operation}Command`]!;
        const { $metadata, ...got } = await client.send(new Command(sent));
        assert.deepEqual(received, sent, operation);
        assert.deepEqual(got, answered, operation);
      }),
      { numRuns: 3 },
    );
  }
}

suite('the protocols of ELBv2 and ACM', () => {
  test('what the SDK writes in AWS Query is read, and what is written the SDK reads', async () => {
    const operations = operationsOf(elb);
    assert.ok(operations.length > 40);
    await exchange(
      elb,
      operations,
      (answer) => new elb.ElasticLoadBalancingV2Client(settings(answer)) as unknown as Client,
      (input, { body }) => decode(input, new URLSearchParams(body as string), AWS_QUERY),
      (operation, output, answered) =>
        encodeAwsQuery({ namespace: 'http://lab/' }, operation, output, answered, 'request-1'),
    );
  });

  test('what the SDK writes in AWS JSON is read, and what is written the SDK reads', async () => {
    const operations = operationsOf(acm).filter((name) => /Certificate$|^ListCertificates$/.test(name));
    assert.ok(operations.length > 10);
    await exchange(
      acm,
      operations,
      (answer) => new acm.ACMClient(settings(answer)) as unknown as Client,
      (input, { body }) => decodeJson(input, Buffer.from(body as Uint8Array).toString()),
      (_operation, output, answered) => (output.isUnitSchema() ? '' : encodeJson(output, answered)),
    );
  });

  test('errors arrive as exceptions of the SDK', async () => {
    const refuse = (service: typeof elbv2, code: string) =>
      settings(() => ({ statusCode: 400, body: service.writeError(new AwsError(code, 'a & b'), 'id') }));
    const elbClient = new elb.ElasticLoadBalancingV2Client(refuse(elbv2, 'LoadBalancerNotFound'));
    await assert.rejects(elbClient.send(new elb.DescribeLoadBalancersCommand({})), (error) => {
      assert.ok(error instanceof elb.LoadBalancerNotFoundException);
      return error.message === 'a & b';
    });
    const acmClient = new acm.ACMClient(refuse(acmService, 'ResourceInUseException'));
    await assert.rejects(acmClient.send(new acm.ListCertificatesCommand({})), (error) => {
      assert.ok(error instanceof acm.ResourceInUseException);
      return error.message === 'a & b';
    });
  });

  for (const [text, message] of [
    ['Names.1=a', /Names\.1 is not recognized/],
    ['Names.member.x=a', /Names\.member\.x is not recognized/],
    ['PageSize=many', /\(many\) for parameter PageSize/],
    ['Colour=red', /Colour is not recognized/],
  ] as const) {
    test(`DescribeLoadBalancers refuses "${text}"`, () => {
      const { input } = operationSchema('DescribeLoadBalancers', elb)!;
      assert.throws(() => decode(input, new URLSearchParams(text), AWS_QUERY), { message });
    });
  }

  test('an empty list is one', () => {
    const { input } = operationSchema('DescribeLoadBalancers', elb)!;
    assert.deepEqual(decode(input, new URLSearchParams('Names='), AWS_QUERY), { Names: [] });
  });
});
