import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainAwsError } from './errors.ts';

const ROLE = 'arn:aws:sts::111122223333:assumed-role/node/i-0a';
const refused = (text: string) =>
  explainAwsError(
    Object.assign(new Error(`You are not authorized to perform this operation. ${text}`), {
      name: 'UnauthorizedOperation',
    }),
    { operation: 'CreateNetworkInterface', target: 'subnet-0a' },
  );

test('a refusal names the permission that is missing, which may be another than that of the call', () => {
  const eni = 'arn:aws:ec2:us-east-1:111122223333:network-interface/*';
  const error = refused(
    `User: ${ROLE} is not authorized to perform: ec2:CreateTags on resource: ${eni} because no identity-based policy allows the ec2:CreateTags action. Encoded authorization failure message: 4Kd9xQ`,
  );
  assert.equal(
    error.message,
    `the node's role may not call ec2:CreateTags on ${eni}: attach the policy AmazonEKS_CNI_Policy to it (UnauthorizedOperation)`,
  );
  assert.deepEqual(
    [error.operation, error.refusalCause, error.isDenied],
    ['CreateNetworkInterface', 'Denied', true],
  );
});

test('a policy that denies is not mended by another that allows', () => {
  const { message } = refused(
    `User: ${ROLE} is not authorized to perform: ec2:CreateNetworkInterface on resource: arn:aws:ec2:us-east-1:111122223333:subnet/subnet-0a with an explicit deny in a service control policy: arn:aws:organizations::1:policy/p-1. Encoded authorization failure message: 4Kd9xQ`,
  );
  assert.match(
    message,
    /may not call ec2:CreateNetworkInterface on \S+subnet-0a: take away the explicit deny in a service control policy: arn:aws:organizations::1:policy\/p-1 \(/,
  );
});

test('a refusal that tells nothing is put down to the call', () => {
  assert.match(refused('').message, /may not call ec2:CreateNetworkInterface: attach the policy/);
});
