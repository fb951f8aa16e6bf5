import * as sdk from '@aws-sdk/client-elastic-load-balancing-v2';
import { operations } from '../elbv2/operations/index.ts';
import { AwsError } from '../errors.ts';
import { decode } from '../query/decode.ts';
import { encodeAwsQuery, encodeAwsQueryError } from '../query/encode.ts';
import { AWS_QUERY, operationSchema } from '../query/schema.ts';
import { formOf, type Service } from '../service.ts';

const VERSION = '2015-12-01';
const NAMES = { namespace: `http://elasticloadbalancing.amazonaws.com/doc/${VERSION}/` };

/** Elastic Load Balancing version 2, in the AWS Query protocol. */
export const elbv2: Service = {
  name: 'elasticloadbalancing',
  contentType: 'text/xml',
  throttled: 'Throttling',
  lags: true,
  actionOf: (request) => formOf(request).get('Action') ?? undefined,
  writeError: (error, requestId) => encodeAwsQueryError(NAMES, error, requestId),
  read(request) {
    const parameters = formOf(request);
    const action = parameters.get('Action');
    const schema = operationSchema(action ?? '', sdk);
    const version = parameters.get('Version');
    if (!action || !schema || version !== VERSION) {
      throw new AwsError('InvalidAction', `Could not find operation ${action} for version ${version}`);
    }
    const handler = operations.get(action);
    if (!handler) {
      throw new AwsError(
        'OperationNotPermitted',
        `The lab has no ${action}. It has ${[...operations.keys()].toSorted().join(', ')}.`,
      );
    }
    return {
      action,
      handler,
      input: readInput(() => decode(schema.input, parameters, AWS_QUERY)),
      write: (output, requestId) => encodeAwsQuery(NAMES, action, schema.output, output, requestId),
    };
  },
};

/** What is malformed has one code here. */
function readInput<Input>(read: () => Input): Input {
  try {
    return read();
  } catch (error) {
    if (error instanceof AwsError) throw new AwsError('ValidationError', error.message);
    throw error;
  }
}
