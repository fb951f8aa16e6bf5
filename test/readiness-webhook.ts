/** A webhook in pods of a cluster, which gives pods a readiness gate: what a controller of load balancers does. */
import { CertificateAuthority } from '../packages/lab/src/pki/index.ts';

export const GATE = 'enid.test/gate';
const PORT = 8443;

/** Answers a review by a patch. `jq` keeps the review's uid, by which the server knows the answer. */
const HANDLER = `
while IFS= read -r line; do
  line=$(printf '%s' "$line" | tr -d '\\r')
  [ -z "$line" ] && break
  case "$line" in [Cc]ontent-[Ll]ength:*) length=\${line#*: } ;; esac
done
answer=$(head -c "$length" | jq -c '{apiVersion, kind, response: {uid: .request.uid, allowed: true, patchType: "JSONPatch",
  patch: ([{op: "add", path: "/spec/readinessGates", value: [{conditionType: "${GATE}"}]}] | tojson | @base64)}}')
printf 'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %s\\r\\nconnection: close\\r\\n\\r\\n%s' \\
  "\${#answer}" "$answer"
`;

/**
 * The manifests of a webhook for pods that are labelled `gated=true`, in a namespace: what runs it, and what tells the API server
 * of it.
 */
export async function readinessWebhook(
  namespace: string,
): Promise<{ readonly server: string; readonly configuration: string }> {
  const { authority } = await CertificateAuthority.create('enid test');
  const { certificate, key } = await authority.issueServer([`hook.${namespace}.svc`]);
  const metadata = { name: 'hook', namespace };
  const labels = { app: 'hook' };
  const listen = `OPENSSL-LISTEN:${PORT},fork,reuseaddr,cert=/hook/tls.crt,key=/hook/tls.key,verify=0`;
  const server = [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata,
      stringData: { 'tls.crt': certificate, 'tls.key': key, handler: HANDLER },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ port: 443, targetPort: PORT }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 1,
            volumes: [{ name: 'hook', secret: { secretName: 'hook' } }],
            containers: [
              {
                name: 'hook',
                image: 'nicolaka/netshoot',
                command: ['socat', listen, 'SYSTEM:sh /hook/handler'],
                volumeMounts: [{ name: 'hook', mountPath: '/hook' }],
                readinessProbe: { tcpSocket: { port: PORT }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
  ];
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: `hook-${namespace}` },
    webhooks: [
      {
        name: 'gates.enid.test',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        objectSelector: { matchLabels: { gated: 'true' } },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
        clientConfig: {
          service: { namespace, name: 'hook', path: '/' },
          caBundle: Buffer.from(authority.certificate).toString('base64'),
        },
      },
    ],
  };
  const list = { apiVersion: 'v1', kind: 'List', items: server };
  return { server: JSON.stringify(list), configuration: JSON.stringify(configuration) };
}
