import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { until } from '@thermomesh/testing';
import { createCommitter } from '../storage/committer.ts';
import type { MessageLog } from '../core/message-log.ts';
import { openMessageLog } from '../storage/message-log.ts';
import { Sessions } from '../storage/sessions.ts';
import { indexAfter, messageAt } from '../core/group.ts';
import { deviceLogin, drainLogin, folderFor, operatorLogin } from '../../testing.ts';
import { openLmdbStore } from './lmdb-store.ts';
import { connectClient, type TestClient } from './testing/mqtt-client.ts';
import type { Activity } from './testing/syscalls/activity.ts';
import { acknowledgementsIn } from './testing/syscalls/durable-order.ts';
import { remainsAt } from './testing/syscalls/power-loss.ts';
import { startTraced, type TracedGateway } from './testing/syscalls/traced-gateway.ts';

const skip = process.platform === 'linux' ? false : 'strace exists on Linux only';
const seed = Date.now() & 0x7fff_ffff;
const points = 400;
const rounds = 3;
const devicesCount = 4;
const perBurst = 12;
const awayClientId = 'operator-away';

/** A message of the test, and when the coordinator may have removed it from the store. */
interface Sent {
  connection: number;
  messageId: number;
  payload: string;
  /** Connection of the coordinator that acknowledged it; undefined if none did. */
  removedBy: number | undefined;
}

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function randomFrom(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Publishes bursts while coordinators come and go, so that the store appends, removes and uses the
 * pages of removed messages again. A session that never comes back holds what `d0` publishes.
 */
async function produce(gateway: TracedGateway): Promise<Sent[]> {
  const port = gateway.mqttPort;
  let connections = 0;
  const connect = async (login: Parameters<typeof connectClient>[1]) => {
    const { client } = await connectClient(port, login);
    return { client, connection: connections++ };
  };
  const reader = await connect({ ...operatorLogin(awayClientId), clean: false });
  const subscriptions = [{ topic: 'thermostat/data/d0', qos: 1 as const }];
  reader.client.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await reader.client.next('suback');
  reader.client.destroy();
  const devices: { client: TestClient; connection: number }[] = [];
  for (let at = 0; at < devicesCount; at++) devices.push(await connect(deviceLogin(`d${at}`)));

  const sent: Sent[] = [];
  async function publishBurst(): Promise<void> {
    for (let count = 0; count < perBurst; count++) {
      for (const { client, connection } of devices) {
        const messageId = Math.floor(sent.length / devicesCount) + 1;
        const payload = `message ${sent.length} `.padEnd(100 + ((sent.length * 37) % 900), 'x');
        sent.push({ connection, messageId, payload, removedBy: undefined });
        const packet = {
          cmd: 'publish',
          topic: 'thermostat/data',
          qos: 1,
          dup: false,
          retain: false,
        } as const;
        client.send({ ...packet, payload, messageId });
      }
      const wanted = sent.length / devicesCount;
      const acks = (client: TestClient) => client.received.filter(({ cmd }) => cmd === 'puback').length;
      await until('the acks', () => devices.every(({ client }) => acks(client) === wanted));
    }
  }
  for (let round = 1; round <= rounds; round++) {
    await publishBurst();
    const backlog = sent.filter(({ removedBy }) => removedBy === undefined);
    const { client, connection } = await connect(drainLogin(1, round));
    // Removals and new messages alternate.
    await Promise.all([acknowledge(client, backlog.length), publishBurst()]);
    for (const message of backlog) message.removedBy = connection;
    client.destroy();
    await client.untilClosed();
  }
  return sent;
}

/** Acknowledges the first `count` messages of the drain session, a few at a time. */
async function acknowledge(client: TestClient, count: number): Promise<void> {
  for (let taken = 0; taken < count; taken++) {
    await until('a message', () => client.publishes().length > taken);
    client.send({ cmd: 'puback', messageId: client.publishes()[taken]!.messageId! });
    if (taken % 10 === 0) await new Promise(setImmediate);
  }
}

/** What the drain session and the other session get from a store with this content. */
async function openRemains(folder: string, content: Buffer | undefined) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  if (content !== undefined) await writeFile(path.join(folder, 'data.mdb'), content);
  const store = await openLmdbStore({ path: folder, mapBytesMax: 2 ** 27 });
  const retry = { minMs: 1, maxMs: 2 };
  const committer = createCommitter({ store, lingerMs: 0, retry, onState: () => undefined });
  const log = await openMessageLog(store, committer);
  const found = payloadsOf(log);
  const queued = queuedIn(new Sessions(store, committer, log));
  // The store takes new messages.
  await store.commit([{ table: 'meta', key: Buffer.from('after'), value: Buffer.from('x') }]).durable;
  await committer.close(1000);
  await store.close();
  return { found, queued, accepted: log.accepted, buffered: log.buffered };
}

/** The payloads in the queue of the session that never comes back. */
function queuedIn(sessions: Sessions): string[] {
  return sessions.read(awayClientId, 0, rounds * 2 * perBurst).map(({ message }) => {
    assert.equal(message.kind, 'log');
    return message.payload.toString();
  });
}

function payloadsOf(log: MessageLog): string[] {
  const payloads: string[] = [];
  let group = log.nextDrainGroup(undefined);
  for (; group !== undefined; group = log.nextDrainGroup(group.firstLogId)) {
    for (let index = indexAfter(group, log.drainedLogId); index < group.count; index++) {
      payloads.push(messageAt(group, index, true).payload.toString());
    }
  }
  return payloads;
}

/** Messages that were acknowledged before `at` and that no coordinator can have removed. */
function promisedAt(
  activity: Activity,
  acks: ReturnType<typeof acknowledgementsIn>,
  sent: Sent[],
  at: number,
) {
  const nameOf = ({ connection, messageId }: Pick<Sent, 'connection' | 'messageId'>) =>
    `${connection}/${messageId}`;
  const acked = new Set(acks.filter(({ begin }) => begin < at).map(nameOf));
  const removable = ({ removedBy }: Sent) => removedBy !== undefined && activity.accepted[removedBy]! < at;
  const inQueue = sent.filter((message, index) => index % devicesCount === 0 && acked.has(nameOf(message)));
  return {
    acked: acked.size,
    inQueue,
    kept: sent.filter((message) => acked.has(nameOf(message)) && !removable(message)),
  };
}

/** Positions at which something happened to the file, or at which bytes began to leave. */
function momentsOf({ writes, syncs, creations, folderSyncs, sent }: Activity): number[] {
  const spans = [...writes, ...syncs, ...creations, ...folderSyncs];
  const sending = sent.filter(({ begin }) => begin > writes[0]!.begin).map(({ begin }) => begin);
  return [...spans.flatMap(({ begin, end }) => [begin, end]), ...sending].filter(Number.isFinite);
}

/** A store that is not whole has no name yet: LMDB crashes on one whose meta pages are cut off. */
function assertNamedWhole(activity: Activity): void {
  const { begin } = activity.creations.find((made) => path.basename(made.path) === 'data.mdb')!;
  assert.ok(
    activity.writes.some((write) => write.begin < begin),
    'the store got its name before its content',
  );
  assert.equal(remainsAt(activity, begin, () => 0).unsynced, 0, 'unsynced when the store got its name');
}

async function record(t: TestContext): Promise<{ activity: Activity; sent: Sent[] }> {
  const gateway = await startTraced(t, await folderFor(t), process.env['PATH']);
  const sent = await produce(gateway);
  return { activity: await gateway.stop(), sent };
}

it(`a power loss at any point loses no acknowledged message (seed ${seed})`, { skip }, async (t) => {
  const random = randomFrom(seed);
  const { activity, sent } = await record(t);
  const acks = acknowledgementsIn(activity);
  assert.equal(acks.length, sent.length, 'every PUBACK is in the trace');
  assertNamedWhole(activity);
  const folder = path.join(await folderFor(t), 'remains');
  const moments = momentsOf(activity);
  const seen = { promised: 0, unsynced: 0, messages: 0 };
  for (let point = 0; point < points; point++) {
    const at = moments[Math.floor(random() * moments.length)]! + 0.5;
    const { content, unsynced } = remainsAt(activity, at, random);
    const { acked, kept, inQueue } = promisedAt(activity, acks, sent, at);
    const { found, queued, accepted, buffered } = await openRemains(folder, content);
    const where = `point ${point} at ${at}, ${unsynced} unsynced writes, seed ${seed}`;
    const lost = [
      ...kept.filter(({ payload }) => !found.includes(payload)),
      ...inQueue.filter(({ payload }) => !queued.includes(payload)),
    ];
    assert.deepEqual(
      lost.map(({ payload }) => payload.trim().slice(0, 20)),
      [],
      where,
    );
    assert.equal(new Set(found).size, found.length, `a message is there twice: ${where}`);
    assert.ok(accepted >= acked, `${accepted} accepted, ${acked} acknowledged: ${where}`);
    assert.equal(buffered, found.length, where);
    seen.promised += kept.length > 0 ? 1 : 0;
    seen.unsynced += unsynced > 0 ? 1 : 0;
    seen.messages += kept.length;
  }
  t.diagnostic(`${points} points; ${JSON.stringify(seen)}; seed ${seed}`);
  // Most points have something to lose, and something that is not on the disk.
  assert.ok(seen.promised > points / 2, JSON.stringify(seen));
  assert.ok(seen.unsynced > points / 10, JSON.stringify(seen));
});
