/** Group admissionregistration.k8s.io. */
import type { Numbers } from './notation.ts';

export const WEBHOOKS: Numbers = {
  MutatingWebhookConfiguration: 'metadata=1 webhooks=2',
  ValidatingWebhookConfiguration: 'metadata=1 webhooks=2',
  MutatingWebhook: `
    name*=1 clientConfig=2 rules=3 failurePolicy*=4 namespaceSelector=5 sideEffects*=6 timeoutSeconds*=7
    admissionReviewVersions=8 matchPolicy*=9 reinvocationPolicy*=10 objectSelector=11 matchConditions=12`,
  ValidatingWebhook: `
    name*=1 clientConfig=2 rules=3 failurePolicy*=4 namespaceSelector=5 sideEffects*=6 timeoutSeconds*=7
    admissionReviewVersions=8 matchPolicy*=9 objectSelector=10 matchConditions=11`,
  AdmissionregistrationV1WebhookClientConfig: 'service=1 caBundle=2 url*=3',
  AdmissionregistrationV1ServiceReference: 'namespace*=1 name*=2 path*=3 port*=4',
  RuleWithOperations: 'operations=1 ...Rule=2',
  Rule: 'apiGroups=1 apiVersions=2 resources=3 scope*=4',
  MatchCondition: 'name*=1 expression*=2',
};
