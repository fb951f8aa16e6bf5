import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { essence, policy, port, rules, Testbed, type TestPod, udp } from './testbed.ts';

/** Sends datagrams of both kinds all the time, and knows what came out. */
class Load {
  readonly #from: TestPod;
  readonly #to: TestPod;
  readonly #allowed = new Map<string, number>();
  readonly #denied = new Set<string>();
  #round = 0;
  arrived = 0;
  wrong = 0;
  isOver = false;
  readonly done: Promise<void>;

  constructor(from: TestPod, to: TestPod) {
    this.#from = from;
    this.#to = to;
    this.done = this.#run();
  }

  get missing(): number[] {
    return [...this.#allowed.values()];
  }

  get rounds(): number {
    return this.#round;
  }

  async #run(): Promise<void> {
    while (!this.isOver) {
      this.#round++;
      // An old flow, a new one, an answer to the old one, and three that no rule allows.
      this.#send(this.#from, this.#to, 4000, 53, true);
      this.#send(this.#from, this.#to, 5000 + (this.#round % 60_000), 53, true);
      this.#send(this.#to, this.#from, 53, 4000, true);
      this.#send(this.#from, this.#to, 4000, 54, false);
      this.#send(this.#from, this.#to, 4000, 70, false);
      this.#send(this.#to, this.#from, 53, 4001, false);
      await new Promise(setImmediate);
      this.#look();
    }
    for (const end = Date.now() + 2_000; this.#allowed.size > 0 && Date.now() < end; ) {
      await new Promise(setImmediate);
      this.#look();
    }
  }

  #send(from: TestPod, to: TestPod, source: number, destination: number, isAllowed: boolean): void {
    const packet = udp({ from, to }, source, destination);
    if (isAllowed) this.#allowed.set(essence(packet), this.#round);
    else this.#denied.add(essence(packet));
    from.wire.send(packet);
  }

  #look(): void {
    for (const pod of [this.#from, this.#to])
      for (const packet of pod.wire.received()) {
        if (this.#allowed.delete(packet)) this.arrived++;
        if (this.#denied.has(packet)) this.wrong++;
      }
  }
}

for (const hook of ['clsact', 'tcx'] as const)
  test(`agents are killed and replaced under load, and no packet is let through or dropped wrongly (${hook})`, async (t) => {
    const bed = new Testbed(t);
    const [client, server] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
    const directory = join(bed.directory, 'policy');
    const children: ChildProcess[] = [];
    t.after(() => {
      for (const child of children) child.kill('SIGKILL');
    });
    const start = async () => {
      const args = [directory, `${bed.name}-node`, hook, String(client.ifindex), String(server.ifindex)];
      const child = spawn(process.execPath, [join(import.meta.dirname, 'mortal.fixture.ts'), ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      await once(child.stdout!, 'data');
      return child;
    };
    const kill = async (child: ChildProcess) => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    const first = await start();
    const load = new Load(client, server);
    const rounds = async (count: number) => {
      for (const end = load.rounds + count; load.rounds < end; ) await new Promise(setImmediate);
    };
    await rounds(200);
    await kill(first);
    await rounds(200);
    const second = await start();
    await rounds(200);
    // Also two at a time: an upgrade may overlap.
    const third = await start();
    await kill(second);
    await rounds(200);
    await kill(third);
    // In the test's own process, over and over.
    const dns = { cidr: '10.0.1.0/24', ports: [port('UDP', 53)] };
    for (let i = 0; i < 5; i++) {
      const dataPlane = await bed.open({ hook });
      await dataPlane.guard([
        {
          ifindex: client.ifindex,
          rules: rules({ egress: [policy({ cidr: '0.0.0.0/0', ports: [port('UDP', 1, 60)] })] }),
        },
        { ifindex: server.ifindex, rules: rules({ ingress: [policy(dns)], egress: [policy()] }) },
      ]);
      await rounds(50);
      await dataPlane.close();
    }
    load.isOver = true;
    await load.done;
    assert.deepEqual({ missing: load.missing, wrong: load.wrong }, { missing: [], wrong: 0 });
    const { ingress, egress } = (await bed.open({ hook })).counters().packets;
    assert.equal(ingress.deny + egress.deny, 3 * load.rounds);
    assert.ok(load.arrived > 3 * 1_050);
  });

test('a pod that nobody guards again keeps its rules, and programs of the other kind of hook make way', async (t) => {
  const bed = new Testbed(t);
  const [client, server] = [bed.pod({ silent: true }), bed.pod({ silent: true })];
  const closed = rules({ ingress: [policy()] });
  for (const hook of ['tcx', 'clsact', 'tcx'] as const) {
    const dataPlane = await bed.open({ hook });
    await dataPlane.guard([{ ifindex: server.ifindex, rules: closed }]);
    await dataPlane.close();
    assert.equal(bed.filters(server).includes('to_pod'), hook === 'clsact');
  }
  const dataPlane = await bed.open();
  assert.deepEqual(dataPlane.guarded(), []);
  const { deny } = dataPlane.counters().packets.ingress;
  client.wire.send(udp({ from: client, to: server }, 4000, 53));
  while (dataPlane.counters().packets.ingress.deny === deny) await new Promise(setImmediate);
  assert.deepEqual(server.wire.received(), []);
});
