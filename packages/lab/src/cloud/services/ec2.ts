import { Ec2Error } from '../errors.ts';
import { operations } from '../operations/index.ts';
import { decode } from '../query/decode.ts';
import { encode, encodeError } from '../query/encode.ts';
import { API_VERSION, operationSchema } from '../query/schema.ts';
import { formOf, type Service } from '../service.ts';

/** EC2, in the EC2 Query protocol. */
export const ec2: Service = {
  name: 'ec2',
  contentType: 'text/xml;charset=UTF-8',
  throttled: 'RequestLimitExceeded',
  lags: false,
  actionOf: (request) => formOf(request).get('Action') ?? undefined,
  writeError: encodeError,
  read(request) {
    const parameters = formOf(request);
    const action = parameters.get('Action');
    if (!action) throw new Ec2Error('MissingAction', 'The request must contain the parameter Action');
    const version = parameters.get('Version');
    if (version !== API_VERSION) {
      throw new Ec2Error(
        'NoSuchVersion',
        `The requested version (${version}) of service AmazonEC2 does not exist: use ${API_VERSION}`,
      );
    }
    const schema = operationSchema(action);
    if (!schema)
      throw new Ec2Error('InvalidAction', `The action ${action} is not valid for this web service.`);
    const handler = operations.get(action);
    if (!handler) {
      throw new Ec2Error(
        'UnsupportedOperation',
        `The lab has no ${action}. It has ${[...operations.keys()].toSorted().join(', ')}.`,
      );
    }
    return {
      action,
      handler,
      input: decode(schema.input, parameters),
      write: (output, requestId) => encode(action, schema.output, output, requestId),
    };
  },
};
