import * as sdk from '@aws-sdk/client-acm';
import { operations } from '../acm/operations.ts';
import { AwsError } from '../errors.ts';
import { decodeJson, encodeJson } from '../json/json.ts';
import { operationSchema } from '../query/schema.ts';
import type { Service } from '../service.ts';

/** The header `X-Amz-Target` names the operation after this. */
const TARGET = 'CertificateManager.';

/** AWS Certificate Manager, in the protocol AWS JSON 1.1. */
export const acm: Service = {
  name: 'acm',
  contentType: 'application/x-amz-json-1.1',
  throttled: 'ThrottlingException',
  lags: false,
  actionOf({ headers }) {
    const target = headers['x-amz-target'];
    return target?.startsWith(TARGET) ? target.slice(TARGET.length) : target;
  },
  writeError: (error) => JSON.stringify({ __type: error.code, message: error.message }),
  read(request) {
    const action = acm.actionOf(request) ?? '';
    const schema = operationSchema(action, sdk);
    const handler = operations.get(action);
    if (!schema || !handler) {
      const known = [...operations.keys()].toSorted().join(', ');
      throw new AwsError(
        'UnknownOperationException',
        `The lab has no ${action || 'such'} operation: ${known}.`,
      );
    }
    return {
      action,
      handler,
      input: decodeJson(schema.input, request.body),
      write: (output) => (schema.output.isUnitSchema() ? '' : encodeJson(schema.output, output)),
    };
  },
};
