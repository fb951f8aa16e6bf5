import { type Command, InvalidArgumentError } from 'commander';

type Target = { readonly kind: 'service' | 'ingress'; readonly name: string };

/** Of `service/web`, `svc/web`, `ingress/web` or `ing/web`, as kubectl takes them. */
function target(text: string): Target {
  const [, kind = '', name = ''] = /^([a-z]+)\/([a-z0-9.-]+)$/.exec(text) ?? [];
  if (/^(svc|services?)$/.test(kind)) return { kind: 'service', name };
  if (/^(ing|ingress|ingresses)$/.test(kind)) return { kind: 'ingress', name };
  throw new InvalidArgumentError('It takes service/NAME or ingress/NAME.');
}

/** `enid lb`: what load balancers Services and Ingresses come to. */
export default function lb(program: Command): void {
  const group = program.command('lb').description('load balancers of Services and Ingresses');
  group
    .command('plan')
    .description('tell what the controller would create, change and delete in AWS, without doing it')
    .argument('<service/NAME|ingress/NAME>', 'of whom; an Ingress is planned with its group', target)
    .option('-n, --namespace <name>', 'where it is', 'default')
    .option('--json', 'as JSON, with the model of what is wanted')
    .addHelpText(
      'after',
      `
The cluster is that of KUBECONFIG, the account that of AWS's environment; CLUSTER_NAME, AWS_REGION and AWS_VPC_ID are those of the
controller, as is all else that it is configured by.

  enid lb plan service/web -n shop
  enid lb plan ingress/front -n shop --json`,
    )
    .action(async ({ kind, name }: Target, options: { namespace: string; json?: boolean }) => {
      const { KubeClient, kubeconfigAccess } = await import('@enid/kube');
      const { openAws, planFor, readLoadBalancing } = await import('@enid/controller/load-balancing');
      const { KUBECONFIG } = process.env;
      if (!KUBECONFIG) throw new Error('KUBECONFIG is not set: it names the file that says which cluster');
      const settings = await readLoadBalancing(process.env);
      const client = new KubeClient(kubeconfigAccess(KUBECONFIG));
      using aws = openAws({ region: settings.region });
      try {
        const answer = await planFor({ client, aws, settings, kind, name, namespace: options.namespace });
        if (options.json) console.log(JSON.stringify(answer, null, 2));
        else {
          const { drawPlan } = await import('../load-balancer-plan.ts');
          console.log(drawPlan(answer));
        }
      } finally {
        client.close();
      }
    });
}
