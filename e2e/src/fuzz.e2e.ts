/**
 * Hostile requests and packets: no caller's input ends in a 5xx or a crash, and good neighbours do
 * not notice. A run prints its seed; `FUZZ_SEED` repeats it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { startMesh, type MeshHandle } from '@thermomesh/mesh/testing';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { connections, play } from './fuzz/mqtt.ts';
import { readOperations } from './fuzz/openapi.ts';
import { requestsTo, type FuzzRequest } from './fuzz/requests.ts';
import { sendAll, type FuzzAnswer } from './fuzz/send.ts';

const requestsMin = 10_000;
const packetsMin = 10_000;
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
let mesh: MeshHandle;

before(async () => {
  console.log(`FUZZ_SEED=${seed}`);
  mesh = await startMesh({ nodes: 1, payments: true, equalizers: 1 });
});
after(() => mesh.remove());

interface Place {
  name: string;
  url: string;
  /** A token that it accepts for every route. */
  bearer: string;
}

/** Every service that has a document of its own. */
async function services(): Promise<Place[]> {
  const { processes } = await mesh.status();
  const processorSecret = readFileSync(
    path.join(mesh.home, mesh.mesh.name, 'processor.secret'),
    'utf8',
  ).trim();
  const bearers: Record<string, string> = {
    billing: deriveToken(mesh.secret, subjects.service('gateway')),
    'card-processor': deriveToken(processorSecret, subjects.operator),
  };
  return processes.flatMap(({ name, role, url }) =>
    url?.startsWith('http') === true ? [{ name, url, bearer: bearers[role] ?? mesh.operatorToken }] : [],
  );
}

const textOf = ({ request: { method, target, headers, body }, status, text }: FuzzAnswer) =>
  `${status} ${method} ${target.slice(0, 300)} ${JSON.stringify(headers).slice(0, 300)} ${body?.toString().slice(0, 300) ?? ''} → ${text.slice(0, 300)}`;

/** How many answers of each status. */
function countsOf(answers: readonly FuzzAnswer[]): string {
  const counts = new Map<number, number>();
  for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort()
    .map(([status, count]) => `${status} × ${count}`)
    .join(', ');
}

describe('fuzzed HTTP', () => {
  it('ends in no 5xx and no crash, whatever is sent to any route of any service', async () => {
    const places = await services();
    const before = await mesh.status();
    const all: FuzzAnswer[] = [];
    for (const { name, url, bearer } of places) {
      const operations = await readOperations(url);
      const each = Math.ceil(requestsMin / places.length / operations.length);
      const requests: FuzzRequest[] = operations.flatMap((operation) =>
        fc.sample(requestsTo(operation, bearer), { numRuns: each, seed }),
      );
      const answers = await sendAll(url, requests);
      console.log(
        `${name}: ${operations.length} operations, ${answers.length} requests: ${countsOf(answers)}`,
      );
      all.push(...answers);
    }
    const bad = all.filter(({ status }) => status >= 500 || status === 0);
    const kinds = new Map(
      bad.map((answer) => [`${answer.status} ${answer.request.method} ${answer.text}`, answer]),
    );
    assert.deepEqual([...kinds.values()].slice(0, 20).map(textOf), []);
    assert.ok(all.length >= requestsMin, `${all.length} requests`);
    const statuses = new Map<number, number>();
    for (const { status } of all) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const afterwards = await mesh.status();
    assert.deepEqual(
      afterwards.processes.map(({ name, pid }) => [name, pid]),
      before.processes.map(({ name, pid }) => [name, pid]),
    );
  });
});

describe('fuzzed MQTT', () => {
  it('neither stops the broker nor costs a good neighbour an acknowledged reading', async () => {
    const pidOf = async () => (await mesh.process('gateway')).pid;
    const before = await pidOf();
    const load = mesh.startLoad({ devices: 10, rate: 200, seconds: 10 });
    const sample = fc.sample(connections(), { numRuns: packetsMin / 5, seed });
    const packets = sample.reduce((sum, each) => sum + each.packets.length, 0);
    assert.ok(packets >= packetsMin, `${packets} packets`);
    const token = mesh.deviceToken('fuzz');
    const { hostname: host, port } = new URL(mesh.mqttUrl);
    await inParallel(sample, 20, async (each) =>
      play({ host, port: Number(port) }, each, { token, id: 'fuzz' }),
    );
    const { document } = await mesh.judgeLoad(load);
    console.log(
      `${sample.length} connections, ${packets} packets; beside them ${document.acked} readings acked`,
    );
    assert.ok(document.acked >= 1_000, `${document.acked} acked`);
    assert.deepEqual([document.lost, document.duplicated, document.corrupted], [0, 0, 0]);
    assert.equal(await pidOf(), before);
    await mesh.drained();
    const { accounts } = await mesh.status();
    assert.equal(accounts?.balanced, true);
  });
});

/** Works on all items, `parallel` at a time. */
async function inParallel<T>(
  items: readonly T[],
  parallel: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const run = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: parallel }, run));
}
