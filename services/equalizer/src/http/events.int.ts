import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { ImageJob } from '@thermomesh/contracts';
import { storeJob, submission, writeProgress } from '../adapters/testing/jobs.ts';
import { until } from '@thermomesh/testing';
import { nodesOf, type JobView, type Submission } from '../core/jobs.ts';
import type { Jobs } from '../core/ports.ts';
import { gatewayToken, openNode, openWorld, problemOf, type Node, type World } from './testing.ts';

let world: World;
let node: Node;

before(async () => {
  world = await openWorld();
  node = await openNode(world, { limits: { heartbeatMs: 20 } });
});
after(async () => {
  await node.close();
  await world.end();
});

const caller = 'key:ann';
const headers = { authorization: `Bearer ${gatewayToken}`, 'thermomesh-caller': caller };
const store = async (of: Submission, phase: Parameters<typeof storeJob>[3]) =>
  storeJob(world.zk, node.root, of, phase);
const tell = async (of: Submission, done: number) =>
  writeProgress(world.zk, node.root, of.id, { phase: 'mapping', done, chunks: 100 });

async function accepted(): Promise<Submission> {
  const mine = submission({ caller });
  await node.jobs.accept(mine);
  return mine;
}

/** A client that keeps everything that it has read. */
class Listener {
  text = '';
  ended = false;
  readonly response: Response;
  readonly #gone: AbortController;

  constructor(response: Response, gone: AbortController) {
    this.response = response;
    this.#gone = gone;
    void this.#read().catch(() => undefined);
  }

  static async open(at: Node, id: string, lastEventId?: string): Promise<Listener> {
    const gone = new AbortController();
    const response = await at.ask(`/v1/jobs/${id}/events`, {
      headers: { ...headers, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) },
      signal: gone.signal,
    });
    return new Listener(response, gone);
  }

  get events(): { id: string; job: ImageJob }[] {
    return [...this.text.matchAll(/^id: (.*)\ndata: (.*)\n\n/gm)].map(([, id = '', data = '']) => ({
      id,
      job: JSON.parse(data) as ImageJob,
    }));
  }

  get phases(): string[] {
    return this.events.map(({ job }) => job.phase);
  }

  leave(): void {
    this.#gone.abort();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const body = this.response.body as AsyncIterable<Uint8Array> | null;
    for await (const chunk of body ?? []) this.text += decoder.decode(chunk, { stream: true });
    this.ended = true;
  }
}

const streamsOf = async (at: Node) =>
  Number(/event_streams (\d+)/.exec(await at.metrics.registry.metrics())?.[1]);

describe('events of a job', () => {
  it('events show the present state and each later one, and end with the job', async () => {
    const mine = await accepted();
    const listener = await Listener.open(node, mine.id);
    assert.equal(listener.response.headers.get('content-type'), 'text/event-stream');
    assert.equal(listener.response.headers.get('cache-control'), 'no-store');
    await until('the present', () => listener.phases.join() === 'queued');
    assert.match(listener.text, /^retry: \d+\n\n/);
    await store(mine, 'mapping');
    await until('mapping', () => listener.phases.includes('mapping'));
    await tell(mine, 40);
    await until('progress', () => listener.events.at(-1)?.job.progress?.done === 40);
    await store(mine, 'finished');
    await until('the end', () => listener.ended);
    assert.equal(listener.phases.at(-1), 'finished');
    assert.equal(listener.events.at(-1)?.job.result, `/v1/jobs/${mine.id}/result`);
    const ids = listener.events.map(({ id }) => id);
    assert.deepEqual(ids, [...new Set(ids)].sort());
    await until('the watch to go', async () => (await streamsOf(node)) === 0);
  });

  it('no node sends an event again that the client has seen, the end included', async () => {
    let handled = 0;
    const other = await openNode(
      world,
      (jobs) => ({ jobs: following(jobs, { onHandled: () => (handled += 1) }) }),
      node,
    );
    const mine = await accepted();
    await store(mine, 'mapping');
    const first = await Listener.open(node, mine.id);
    await until('an event', () => first.events.length === 1);
    const seen = first.events[0]!.id;
    first.leave();
    const second = await Listener.open(other, mine.id, seen);
    await until('the view that was seen to be passed over', () => handled === 1);
    await store(mine, 'applying');
    await until('the news', () => second.events.length === 1);
    assert.deepEqual(second.phases, ['applying']);
    await store(mine, 'finished');
    await until('the end', () => second.ended);
    const last = second.events.at(-1)!.id;
    assert.equal((await Listener.open(node, mine.id, last)).response.status, 204);
    const late = await Listener.open(node, mine.id, seen);
    await until('the end alone', () => late.ended);
    assert.deepEqual(late.phases, ['finished']);
    await other.close();
  });

  it('a Last-Event-ID of another form hides no event', async () => {
    const mine = await accepted();
    await store(mine, 'finished');
    for (const odd of ['zzzz', '9'.repeat(33), '~'.repeat(500)]) {
      const listener = await Listener.open(node, mine.id, odd);
      await until('the end', () => listener.ended);
      assert.deepEqual(listener.phases, ['finished']);
    }
  });

  it('regular comments keep the connection of a stream open', async () => {
    const mine = await accepted();
    const listener = await Listener.open(node, mine.id);
    await until('heartbeats', () => listener.text.split('\n').filter((line) => line === ': ').length >= 3);
    await until('the present', () => listener.events.length === 1);
    listener.leave();
    await until('it to be noticed', async () => (await streamsOf(node)) === 0);
  });

  it('a client that disconnects frees its watch', async () => {
    const signals: AbortSignal[] = [];
    let ended = 0;
    const own = await openNode(
      world,
      (jobs) => ({
        jobs: following(jobs, { signals, onEnd: () => (ended += 1) }),
        limits: { heartbeatMs: 20 },
      }),
      node,
    );
    const mine = await accepted();
    const listener = await Listener.open(own, mine.id);
    await until('an event', () => listener.events.length === 1);
    listener.leave();
    await until('the end of the watch', () => signals.every(({ aborted }) => aborted) && ended === 1);
    assert.equal(await streamsOf(own), 0);
    await own.close();
  });

  it('a client that does not read is disconnected', async () => {
    const taken: string[] = [];
    const own = await openNode(
      world,
      (jobs) => ({
        jobs: { ...following(jobs), follow: () => endless(taken) },
        limits: { stallTimeoutMs: 300 },
      }),
      node,
    );
    const mine = await accepted();
    const socket = net.connect(Number(new URL(own.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.pause();
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.write(`GET /v1/jobs/${mine.id}/events HTTP/1.1\r\nhost: x\r\n${lines.join('\r\n')}\r\n\r\n`);
    await until('the stall', () => taken.length > 0 && Number(taken.at(-1)) > 0);
    await until('it to be let go', async () => (await streamsOf(own)) === 0);
    // Every state would be millions; the consumed ones fit into the buffers of two sockets.
    assert.ok(taken.length < 100_000, `${taken.length}`);
    socket.destroy();
    await own.close();
  });

  it('the stream of a job ends when the job is forgotten', async () => {
    const mine = await accepted();
    const listener = await Listener.open(node, mine.id);
    await until('the present', () => listener.events.length === 1);
    await world.zk.delete(nodesOf(node.root).job(mine.id));
    await until('the end', () => listener.ended);
    const later = await node.ask(`/v1/jobs/${mine.id}/events`, { headers });
    assert.equal(await problemOf(later, 404), 'jobs.unknown');
  });

  it('event streams are limited for each caller and for the node', async () => {
    const own = await openNode(world, { limits: { streamsPerCallerMax: 1, streamsMax: 2 } }, node);
    const mine = await accepted();
    const first = await Listener.open(own, mine.id);
    const refused = await own.ask(`/v1/jobs/${mine.id}/events`, { headers });
    assert.ok(refused.headers.get('retry-after'));
    assert.equal(await problemOf(refused, 429), 'events.too_many_of_caller');
    first.leave();
    await until('the place', async () => (await streamsOf(own)) === 0);
    const again = await Listener.open(own, mine.id);
    assert.equal(again.response.status, 200);
    again.leave();
    await own.close();
  });

  it('a graceful shutdown ends the streams, and clients continue at another node', async () => {
    const own = await openNode(world, {}, node);
    const mine = await accepted();
    const listener = await Listener.open(own, mine.id);
    await until('the present', () => listener.events.length === 1);
    await own.close();
    const next = await Listener.open(node, mine.id, listener.events.at(-1)!.id);
    await store(mine, 'failed');
    await until('the end', () => next.ended);
    assert.deepEqual(next.phases, ['failed']);
  });

  it('an unknown job has no event stream', async () => {
    const { response } = await Listener.open(node, randomUUID());
    assert.equal(response.status, 404);
  });
});

interface Following {
  signals?: AbortSignal[];
  onEnd?: () => void;
  /** Called after a view was consumed. */
  onHandled?: () => void;
}
const nothing = () => undefined;

/** Wraps jobs and reports which watches exist. */
function following(jobs: Jobs, { signals = [], onEnd = nothing, onHandled = nothing }: Following = {}): Jobs {
  return {
    accept: async (of) => jobs.accept(of),
    countOpen: async (of, exactFrom) => jobs.countOpen(of, exactFrom),
    read: async (id) => jobs.read(id),
    list: async (of) => jobs.list(of),
    cancel: async (id) => jobs.cancel(id),
    async *follow(id, signal) {
      signals.push(signal);
      try {
        for await (const view of jobs.follow(id, signal)) {
          yield view;
          onHandled();
        }
      } finally {
        onEnd();
      }
    },
  };
}

/** A job that changes with every view. */
async function* endless(taken: string[]): AsyncGenerator<JobView> {
  const of = submission({ caller, fileName: 'x'.repeat(255) });
  const none = { progress: null, result: null, reason: null, image: null };
  for (let number = 1; ; number++) {
    const version = `${number.toString(16).padStart(16, '0')}-${'0'.repeat(16)}`;
    taken.push(String(number));
    yield { submission: of, phase: 'queued', ...none, version };
    await new Promise((resolve) => setImmediate(resolve));
  }
}
