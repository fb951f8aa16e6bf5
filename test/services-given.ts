/** Services of a given cluster: they are asked by commands in pods, and in pods that share the network of nodes. */
import assert from 'node:assert/strict';
import type { List, Pod } from '@enid/kube';
import type { Outcome } from './questions.ts';
import {
  AGNHOST,
  type AskOptions,
  Bed,
  type Flow,
  type Load,
  NODES,
  type NodeName,
  type Protocol,
  type Way,
} from './services-bed.ts';
import { type Station, Stations } from './stations.ts';
import { until } from './until.ts';

const NAMESPACE = 'servicetest';

/** Each is a call of one of the functions; what comes of it is printed after its number. */
const QUESTIONS = `
tcp() { # address, port, seconds
  curl -s --fail-early -m "$3" -w ' %{exitcode} %{num_connects}\\n' "http://$1:$2/hostname" "http://$1:$2/clientip"
}
export CONVERSE='for question in $QUESTIONS; do
  printf %s "$question" 2>/dev/null; dd bs=999 count=1 >&2 2>/dev/null; echo >&2;
done'
flow() { # address, port with options, seconds, questions
  export QUESTIONS="$4"
  socat -t0.001 -T"$3" "UDP4:$1:$2" 'SYSTEM:eval "$CONVERSE"' 2>&1
}
refusal() { # address, port
  bash -c 'exec 3<>"/dev/udp/$0/$1"; printf hostname >&3; timeout 1 dd bs=999 count=1 <&3' "$@" 2>&1
}
udp() { # address, port, seconds each time, times
  for try in $(seq "$4"); do
    said=$(flow "$1" "$2" "$3" 'hostname clientip')
    case $said in
      *'not permitted'*) said=$(refusal "$1" "$2") ;; # What a node drops of its own, or refuses, it tells at once.
    esac
    case $said in *:*) break ;; esac
  done
  echo "$said"
}
number=0
for question; do
  (echo "$number" $(eval "$question")) &
  number=$((number + 1))
done
wait`;

/** Asks from a station, what is asked at about the same time by one exec, of which each costs tens of milliseconds. */
class Questioner {
  readonly #stations: Stations;
  readonly #station: Station;
  readonly #waiting: {
    question: string;
    answered: (answer: string) => void;
    failed: (error: unknown) => void;
  }[] = [];
  #running = 0;

  constructor(stations: Stations, station: Station) {
    this.#stations = stations;
    this.#station = station;
  }

  ask(question: string): Promise<string> {
    return new Promise((answered, failed) => {
      if (this.#waiting.push({ question, answered, failed }) === 1) setTimeout(() => this.#send(), 10);
    });
  }

  async #send(): Promise<void> {
    if (this.#running === 3 || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, 40);
    this.#running++;
    try {
      const questions = batch.map(({ question }) => question);
      const { stdout, stderr } = await this.#stations.run(this.#station, [
        'sh',
        '-c',
        QUESTIONS,
        'ask',
        ...questions,
      ]);
      const answers = new Map(
        stdout.split('\n').map((line) => [line.split(' ')[0]!, line.replace(/^\d+ ?/, '')]),
      );
      for (const [number, { answered }] of batch.entries()) answered(answers.get(`${number}`) ?? stderr);
    } catch (error) {
      for (const { failed } of batch) failed(error);
    } finally {
      this.#running--;
      void this.#send();
    }
  }
}

/** It has no clients on the internet, and nobody who speaks SCTP. */
export class GivenBed extends Bed {
  readonly namespace = NAMESPACE;
  readonly protocols = ['tcp', 'udp'] as const;
  readonly width = 120;
  readonly #stations: Stations;
  readonly #nodes: readonly string[];
  readonly #questioners = new Map<string, Questioner>();
  readonly #egresses = new Map<string, Promise<string>>();
  #loads = 0;

  private constructor(stations: Stations, nodes: readonly string[]) {
    super();
    this.#stations = stations;
    this.#nodes = nodes;
  }

  /** @param kubeconfig path of the cluster's. */
  static async open(kubeconfig: string): Promise<GivenBed> {
    const stations = new Stations(kubeconfig);
    const bed = new GivenBed(stations, await stations.nodes(2));
    await stations.remove(NAMESPACE);
    try {
      await bed.#populate();
    } catch (error) {
      await bed[Symbol.asyncDispose]();
      throw error;
    }
    return bed;
  }

  async #populate(): Promise<void> {
    await this.#stations.namespace(NAMESPACE);
    const backend = (name: string, on: NodeName) => ({
      labels: { net: 'yes', on, name },
      beside: [{ name: 'netexec', image: AGNHOST, args: ['netexec'] }],
    });
    const places = [
      ...NODES.map((node) => ({ name: node, on: node, ofNode: true })),
      { name: 'client-1', on: 'node-1' },
      { name: 'a', on: 'node-1', ...backend('a', 'node-1') },
      { name: 'far', on: 'node-1', ...backend('far', 'node-1') },
      { name: 'client-2', on: 'node-2' },
      { name: 'c', on: 'node-2', ...backend('c', 'node-2') },
    ] as const;
    const made = await this.#stations.start(
      places.map(({ on, ...spec }) => ({ ...spec, namespace: NAMESPACE, node: this.nameOf(on) })),
    );
    for (const [at, station] of made.entries()) {
      const { name, on } = places[at]!;
      const kind = name === on ? 'node' : 'pod';
      this.spots.set(name, { name, kind, node: on, address: station.address });
      this.#questioners.set(name, new Questioner(this.#stations, station));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stations.remove(NAMESPACE);
    this.#stations[Symbol.dispose]();
  }

  get client() {
    return this.#stations.client;
  }

  /** From a pod of the other node. */
  get outside() {
    return { from: 'client-2', address: this.addressOf('node-1') };
  }

  nameOf(node: NodeName): string {
    return this.#nodes[NODES.indexOf(node)]!;
  }

  egressOf(pod: string): Promise<string> {
    const egress = this.#egresses.get(pod) ?? this.#readEgress(pod);
    this.#egresses.set(pod, egress);
    return egress;
  }

  /** As the policy routing of the node has it. */
  async #readEgress(pod: string): Promise<string> {
    const { address, node } = this.place(pod);
    const ip = async (...args: string[]) =>
      JSON.parse((await this.run(node!, 'ip', '-4', '-json', ...args)).stdout || '[]');
    const rules: { src?: string; table?: string }[] = await ip('rule', 'list');
    const table = rules.find(({ src }) => src === address)?.table ?? 'main';
    const [route]: { dev: string }[] = await ip('route', 'list', 'table', table, 'default');
    const [device]: { addr_info: { local: string }[] }[] = await ip('address', 'show', 'dev', route!.dev);
    return device!.addr_info[0]!.local;
  }

  async ask(
    from: string,
    protocol: Protocol,
    address: string,
    port: number,
    { timeout }: AskOptions = {},
  ): Promise<Outcome> {
    const questioner = this.#questioners.get(from)!;
    if (protocol === 'tcp') {
      const said = await questioner.ask(`tcp ${address} ${port} ${(timeout ?? 5000) / 1000}`);
      const [, by, sees] = /^(\S+) 0 1 (\S+):\d+ 0 0$/.exec(said) ?? [];
      if (by && sees) return { by, sees };
      // curl's "could not connect" and "time is over".
      return said.startsWith('7 ') ? 'refused' : said.startsWith('28 ') ? 'timeout' : said;
    }
    // Again each second: of refusals that are asked for more often the kernel sends only some.
    const times = Math.ceil((timeout ?? 2000) / 1000);
    const seconds = (timeout ?? 2000) / 1000 / times;
    const said = await questioner.ask(`udp ${address} ${port} ${seconds} ${times}`);
    const [, by, sees] = /^(\S+) (\S+):\d+$/.exec(said) ?? [];
    if (by && sees) return { by, sees };
    if (said.includes('Connection refused')) return 'refused';
    return said === '' || said.includes('not permitted') ? 'timeout' : said;
  }

  async flow(from: string, address: string, port: number): Promise<Flow> {
    const questioner = this.#questioners.get(from)!;
    const source = 20_000 + Math.floor(Math.random() * 10_000);
    return {
      async ask(question, timeout) {
        const there = `${address} ${port},sourceport=${source}`;
        const said = await questioner.ask(`flow ${there} ${timeout / 1000} ${question}`);
        assert.match(said, /^\S+$/, 'nobody answers');
        return said;
      },
      close() {},
    };
  }

  async load(perSecond: number, ways: readonly Way[]): Promise<Load> {
    const rate = `${perSecond / ways.length}/s`;
    const began = performance.now();
    const load = this.#loads++;
    const running = await Promise.all(
      ways.map(async ({ from, address, port }, at) => {
        const file = `/tmp/load-${load}-${at}`;
        const curl = `curl -s -N -m 5 --rate ${rate} -H 'Connection: close' -w ' %{exitcode}\\n'`;
        const command = `${curl} 'http://${address}:${port}/hostname?[1-1000000]' >${file} 2>&1 & echo $!`;
        const { stdout } = await this.run(from, 'sh', '-c', command);
        return { from, stop: `kill ${stdout.trim()}; sort ${file} | uniq -c` };
      }),
    );
    const count = async () => {
      const seconds = (performance.now() - began) / 1000;
      const counts = new Map<string, number>();
      await Promise.all(
        running.map(async ({ from, stop }) => {
          const { stdout } = await this.run(from, 'sh', '-c', stop);
          // A request that was just being answered has no exit code.
          for (const [, times, by = '', code] of stdout.matchAll(/^ *(\d+) (\S*) (\d+)$/gm)) {
            const outcome = code === '0' ? by : `failed: curl ends with ${code}`;
            counts.set(outcome, (counts.get(outcome) ?? 0) + Number(times));
          }
        }),
      );
      const total = [...counts.values()].reduce((sum, each) => sum + each, 0);
      const failures = [...counts].filter(([outcome]) => outcome.startsWith('failed'));
      return { counts, failures, perSecond: total / seconds };
    };
    let counted: ReturnType<typeof count> | undefined;
    return { stop: () => (counted ??= count()) };
  }

  async run(from: string, ...command: string[]) {
    const { stdout, exitCode } = await this.#stations.run({ name: from, namespace: NAMESPACE }, command);
    return { stdout, status: exitCode };
  }

  async occupy(node: NodeName, port: number): Promise<() => Promise<void>> {
    const listen = `socat TCP4-LISTEN:${port},fork SYSTEM:true >/dev/null 2>&1 & echo $!`;
    const { stdout } = await this.run(node, 'sh', '-c', listen);
    await until(async () => {
      const { status } = await this.run(node, 'nc', '-z', '127.0.0.1', `${port}`);
      assert.equal(status, 0, `nobody listens at port ${port} of ${node}`);
    });
    return async () => {
      await this.run(node, 'sh', '-c', `kill ${stdout.trim()}`);
    };
  }

  async replaceProxies(): Promise<() => Promise<void>> {
    const proxies = () =>
      Promise.all(
        NODES.map(async (node) => {
          const { items } = await this.client.get<List<Pod>>('/api/v1/namespaces/kube-system/pods', {
            labelSelector: 'k8s-app=kube-proxy',
            fieldSelector: `spec.nodeName=${this.nameOf(node)}`,
          });
          assert.equal(items.length, 1, `pods k8s-app=kube-proxy on ${node}`);
          return items[0]!;
        }),
      );
    const before = await proxies();
    for (const [at, { metadata }] of before.entries()) {
      const path = `/api/v1/namespaces/kube-system/pods/${metadata!.name}`;
      await this.client.delete(path, at === 0 ? { gracePeriodSeconds: 0 } : {});
    }
    return () =>
      until(async () => {
        for (const [at, pod] of (await proxies()).entries()) {
          assert.notEqual(pod.metadata!.uid, before[at]!.metadata!.uid);
          const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
          assert.equal(ready?.status, 'True', `${pod.metadata!.name} is not ready`);
        }
      }, 60_000);
  }
}
