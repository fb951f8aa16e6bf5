import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { suite, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import type { HttpRequest } from '@smithy/core/protocols';
import type { NormalizedSchema } from '@smithy/core/schema';
import fc from 'fast-check';
import { Ec2Error } from '../errors.ts';
import { decode } from './decode.ts';
import { encode, encodeError } from './encode.ts';
import { operationSchema } from './schema.ts';

const parameters = (text: string) => new URLSearchParams(text);
const input = (operation: string, text: string) =>
  decode(operationSchema(operation)!.input, parameters(text));

/** Random values of a schema, with every member set. No shape of EC2 is recursive. */
function valuesOf(schema: NormalizedSchema): fc.Arbitrary<unknown> {
  if (schema.isStructSchema()) {
    const model: Record<string, fc.Arbitrary<unknown>> = {};
    for (const [name, member] of schema.structIterator()) model[name] = valuesOf(member);
    return fc.record(model, { requiredKeys: Object.keys(model), noNullPrototype: true });
  }
  if (schema.isListSchema()) {
    return fc.array(valuesOf(schema.getValueSchema()), { minLength: 1, maxLength: 2 });
  }
  if (schema.isBooleanSchema()) return fc.boolean();
  if (schema.isNumericSchema()) return fc.integer();
  if (schema.isTimestampSchema())
    return fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true });
  if (schema.isBlobSchema()) return fc.uint8Array({ minLength: 1, maxLength: 8 });
  // The SDK trims what it reads; text of blanks alone would be lost there.
  return fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 8 }).map((text) => `:${text}:`);
}

const objectsOf = (schema: NormalizedSchema): fc.Arbitrary<object> =>
  schema.isUnitSchema() ? fc.constant({}) : (valuesOf(schema) as fc.Arbitrary<object>);

type Answer = { $metadata: unknown };

function commandOf(operation: string, input: object): never {
  const Command = (ec2 as unknown as Record<string, new (input: object) => never>)[`${operation}Command`]!;
  return new Command(input);
}

/** An EC2 client of the SDK whose requests go to a function instead of the network. */
function clientOf(answer: (body: string) => { statusCode: number; body: string }): ec2.EC2Client {
  return new ec2.EC2Client({
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIA', secretAccessKey: 'secret' },
    maxAttempts: 1,
    requestHandler: {
      async handle(request: HttpRequest) {
        const { statusCode, body } = answer(request.body as string);
        return { response: { statusCode, headers: {}, body: Readable.from([Buffer.from(body)]) } };
      },
    },
  });
}

const operations = Object.keys(ec2)
  .filter((name) => name.endsWith('Command') && operationSchema(name.slice(0, -'Command'.length)))
  .map((name) => name.slice(0, -'Command'.length))
  // The SDK's client adds a presigned URL of its own to this one.
  .filter((name) => name !== 'CopySnapshot');

suite('the EC2 Query protocol', () => {
  test('what the SDK writes is read, and what is written the SDK reads, for all operations', async () => {
    assert.ok(operations.length > 800);
    for (const operation of operations) {
      const { input, output } = operationSchema(operation)!;
      await fc.assert(
        fc.asyncProperty(objectsOf(input), objectsOf(output), async (sent, answered) => {
          let received: unknown;
          const client = clientOf((body) => {
            received = decode(input, parameters(body));
            return { statusCode: 200, body: encode(operation, output, answered, 'request-1') };
          });
          const { $metadata, ...got } = (await client.send(commandOf(operation, sent))) as Answer;
          assert.deepEqual(received, sent, operation);
          assert.deepEqual(got, answered, operation);
        }),
        { numRuns: 2 },
      );
    }
  });

  test('errors arrive as exceptions of the SDK', async () => {
    const client = clientOf(() => ({
      statusCode: 400,
      body: encodeError(new Ec2Error('InvalidVpcID.NotFound', 'no <vpc> & no "way"'), 'request-2'),
    }));
    await assert.rejects(client.send(new ec2.DescribeVpcsCommand({})), {
      name: 'InvalidVpcID.NotFound',
      message: 'no <vpc> & no "way"',
    });
  });

  test('list members are in the order of their numbers', () => {
    assert.deepEqual(
      input('DescribeVpcs', 'VpcId.10=c&VpcId.2=b&VpcId.1=a&Filter.1.Name=n&Filter.1.Value.1=v'),
      { VpcIds: ['a', 'b', 'c'], Filters: [{ Name: 'n', Values: ['v'] }] },
    );
  });

  for (const [operation, text, code, message] of [
    ['DescribeVpcs', 'Vpc.1=a', 'UnknownParameter', 'The parameter Vpc.1 is not recognized'],
    ['DescribeVpcs', 'Filter.1.Nam=a', 'UnknownParameter', 'The parameter Filter.1.Nam is not recognized'],
    ['DescribeVpcs', 'Filter.x.Name=a', 'UnknownParameter', 'The parameter Filter.x.Name is not recognized'],
    ['DescribeVpcs', 'MaxResults.1=5', 'UnknownParameter', 'The parameter MaxResults.1 is not recognized'],
    ['DescribeVpcs', 'VpcId=a', 'InvalidParameterValue', /VpcId.*Number the members/],
    ['DescribeVpcs', 'MaxResults=many', 'InvalidParameterValue', /\(many\) for parameter MaxResults/],
    [
      'DescribeVpcs',
      'DryRun=yes',
      'InvalidParameterValue',
      /\(yes\) for parameter DryRun.*'true' or 'false'/,
    ],
    ['DeleteVpc', '', 'MissingParameter', 'The request must contain the parameter VpcId'],
    ['DeleteVpc', 'VpcId=', 'MissingParameter', 'The request must contain the parameter VpcId'],
    [
      'CreateFleet',
      'TargetCapacitySpecification.SpotTargetCapacity=1',
      'MissingParameter',
      /TotalTargetCapacity/,
    ],
  ] as const) {
    test(`${operation} refuses "${text}"`, () => {
      assert.throws(() => input(operation, text), { name: 'Ec2Error', code, message });
    });
  }

  test('EC2 has no such operation', () => {
    assert.equal(operationSchema('DescribeUnicorns'), undefined);
    assert.equal(operationSchema('EC2'), undefined);
  });
});
