import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Action } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { ActionSpec } from '../model/stack.ts';
import { actionsKey } from './canonical.ts';
import { nothing } from './existing.ts';
import { references } from './match.ts';
import { fromActions, toAction } from './words.ts';

const REFERENCES = references({ id: { kind: 'ingress', group: 'g' }, targetGroups: [] }, nothing());
const arn = 'arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/web/1';
const forward: ActionSpec = { type: 'forward', targetGroups: [{ group: { arn } }] };
const keyOf = (actions: readonly Action[]) => actionsKey(fromActions(actions), REFERENCES);

test('what was said to AWS is read again as what was wanted', () => {
  const wanted: readonly ActionSpec[] = [
    forward,
    { type: 'forward', targetGroups: [{ group: { arn }, weight: 3 }], stickinessSeconds: 60 },
    { type: 'redirect', statusCode: 'HTTP_301', port: '443', protocol: 'HTTPS' },
    { type: 'fixed-response', statusCode: '404', contentType: 'text/plain' },
  ];
  for (const spec of wanted) assert.equal(keyOf([toAction(spec, () => arn)]), actionsKey([spec], REFERENCES));
});

test('an action of a type that nobody wants is found, as authentication that a hand has put before a forward', () => {
  const authenticated: readonly Action[] = [
    { Type: 'authenticate-oidc', Order: 1 },
    { Type: 'forward', TargetGroupArn: arn, Order: 2 },
  ];
  assert.notEqual(keyOf(authenticated), actionsKey([forward], REFERENCES));
  assert.notEqual(keyOf([{ Type: 'authenticate-oidc' }]), keyOf([{ Type: 'jwt-validation' }]));
});
