import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, afterEach, before, describe, it } from 'node:test';
import type { ImageJob } from '@thermomesh/contracts';
import { createEqualizerClient, type EqualizerClient } from './client.ts';

const job: ImageJob = {
  id: 'j1',
  phase: 'queued',
  progress: null,
  fileName: 'a.png',
  parameters: {},
  submittedAt: '2026-01-01T00:00:00.000Z',
  image: null,
  reason: null,
  result: null,
};
const problem = { type: 'about:blank', title: 'no', status: 0, code: 'some.code', detail: 'the reason' };

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
const servers: Server[] = [];
let folder: string;
before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-client-'));
  writeFileSync(path.join(folder, 'in.png'), 'bytes of an image');
});
after(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address without a server: its server has just been closed. */
async function deadAddress(): Promise<string> {
  const url = await serve(() => undefined);
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return url;
}

function client(urls: string[], over = {}): EqualizerClient {
  return createEqualizerClient({ urls, apiKey: 'key', deadlineMs: 20_000, ...over });
}

function answer(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const bytes of request) text += String(bytes);
  return text;
}

describe('a call', () => {
  it('a call moves to the next address after a failure and keeps its key', async () => {
    const keys: (string | undefined)[] = [];
    const seen: string[] = [];
    const note = async (request: IncomingMessage): Promise<void> => {
      keys.push(request.headers['idempotency-key'] as string | undefined);
      seen.push(await bodyOf(request));
    };
    const breaking = await serve((request) => {
      void note(request).then(() => request.socket.destroy());
    });
    const busy = await serve((request, response) => {
      void note(request).then(() => answer(response, 503, problem, { 'retry-after': '1' }));
    });
    const fine = await serve((request, response) => {
      void note(request).then(() => answer(response, 201, job));
    });
    const made = await client([await deadAddress(), breaking, busy, fine]).submit({
      file: path.join(folder, 'in.png'),
      fields: { mode: 'grey' },
      fileName: 'ä; b.png',
    });
    assert.deepEqual(made, job);
    assert.equal(keys.length, 3);
    assert.equal(new Set(keys).size, 1);
    for (const body of seen)
      assert.match(body, /name="mode"\r\n\r\ngrey[^]*name="file"[^]*bytes of an image/);
  });

  it('a refused call is not repeated and carries the mesh’s own reason', async () => {
    let asked = 0;
    const url = await serve((_request, response) => {
      asked += 1;
      answer(response, 404, { ...problem, status: 404 });
    });
    await assert.rejects(client([url]).read('j1'), { code: 'some.code', status: 404, message: 'the reason' });
    assert.equal(asked, 1);
  });

  it('a call without an answer ends at its deadline with a retriable error', async () => {
    const nowhere = client([await deadAddress()], { deadlineMs: 300 });
    await assert.rejects(nowhere.read('j1'), { code: 'equalizer.no_answer', retriable: true });
  });

  it('an aborted call is not repeated, in flight or during a pause', async () => {
    let asked = 0;
    const silent = await serve(() => {
      asked += 1;
    });
    for (const url of [silent, await deadAddress()]) {
      const enough = new AbortController();
      setTimeout(() => enough.abort(), 100);
      const file = path.join(folder, 'in.png');
      await assert.rejects(client([url]).submit({ file, fields: {}, signal: enough.signal }), {
        name: 'AbortError',
      });
    }
    assert.equal(asked, 1);
  });

  it('an answer that is not a job is an error, and so is an empty list of addresses', async () => {
    const url = await serve((_request, response) => answer(response, 200, { id: 7 }));
    await assert.rejects(client([url]).read('j1'), { code: 'equalizer.misunderstood' });
    assert.throws(() => createEqualizerClient({ urls: [], apiKey: 'k' }), { code: 'equalizer.no_address' });
  });
});

/** Far more than the buffers of sockets hold. */
const largeBytes = 32 * 1024 * 1024;
function largeFile(): string {
  const file = path.join(folder, 'large.tif');
  if (!existsSync(file)) writeFileSync(file, Buffer.alloc(largeBytes, 7));
  return file;
}

/** Paths of the open files of this process; empty on systems without /proc. */
function openFiles(): string[] {
  const place = '/proc/self/fd';
  if (!existsSync(place)) return [];
  return readdirSync(place).flatMap((fd) => {
    try {
      return [readlinkSync(path.join(place, fd))];
    } catch {
      return [];
    }
  });
}

describe('an upload', () => {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => rejections.push(reason);
  before(() => process.on('unhandledRejection', onRejection));
  after(() => process.off('unhandledRejection', onRejection));

  async function assertNothingIsLeft(): Promise<void> {
    assert.ok(!openFiles().includes(largeFile()), 'the file is still open');
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    assert.deepEqual(rejections, []);
  }

  it('an upload refused before its last byte ends with the server’s own problem', async () => {
    for (const status of [401, 413, 415])
      for (const rest of ['resume', 'pause'] as const) {
        let asked = 0;
        const url = await serve((request, response) => {
          asked += 1;
          request.once('data', () => {
            request[rest]();
            answer(response, status, { ...problem, status });
          });
        });
        const refused = { status, code: 'some.code', message: 'the reason' };
        await assert.rejects(client([url]).submit({ file: largeFile(), fields: {} }), refused);
        assert.equal(asked, 1);
        await assertNothingIsLeft();
      }
  });

  it('a connection closed during an upload means no answer and no unhandled rejection', async () => {
    const url = await serve((request) => {
      request.once('data', () => request.socket.destroy());
    });
    const submitting = client([url], { deadlineMs: 200 }).submit({ file: largeFile(), fields: {} });
    await assert.rejects(submitting, { code: 'equalizer.no_answer', retriable: true });
    await assertNothingIsLeft();
  });

  it('an upload aborted in the middle sends no more bytes once submit settles', async () => {
    const enough = new AbortController();
    const closed = Promise.withResolvers<number>();
    const url = await serve((request) => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (!enough.signal.aborted) enough.abort();
        request.pause();
      });
      request.on('error', () => undefined);
      request.once('close', () => closed.resolve(bytes));
    });
    const submitting = client([url]).submit({ file: largeFile(), fields: {}, signal: enough.signal });
    await assert.rejects(submitting, { name: 'AbortError' });
    await assertNothingIsLeft();
    for (const server of servers) server.closeAllConnections();
    assert.ok((await closed.promise) < largeBytes);
  });

  it('an upload of an absent or shrinking file is an error and not repeated', async () => {
    let asked = 0;
    const url = await serve((request) => {
      asked += 1;
      request.on('error', () => undefined);
      request.once('data', () => {
        truncateSync(file, 1);
        request.resume();
      });
    });
    const none = path.join(folder, 'none.png');
    await assert.rejects(client([url]).submit({ file: none, fields: {} }), { code: 'ENOENT' });
    const file = path.join(folder, 'shrinks.tif');
    writeFileSync(file, Buffer.alloc(largeBytes));
    await assert.rejects(client([url]).submit({ file, fields: {} }), { code: 'equalizer.file_changed' });
    assert.equal(asked, 1);
    await assertNothingIsLeft();
  });

  it('an upload is a form that the platform parses, with any characters in its names', async () => {
    const forms: FormData[] = [];
    const url = await serve((request, response) => {
      const headers = { 'content-type': request.headers['content-type'] ?? '' };
      void new Response(Readable.toWeb(request) as ReadableStream, { headers }).formData().then((form) => {
        forms.push(form);
        answer(response, 201, job);
      });
    });
    const file = path.join(folder, 'empty.png');
    writeFileSync(file, '');
    const fileName = 'ä "quoted" \n; b.png';
    await client([url]).submit({ file, fields: { mode: 'grey', 'a"b': 'ö' }, fileName });
    await client([url]).submit({ file: path.join(folder, 'in.png'), fields: {} });
    const [odd, plain] = forms.map((form) => [...form.entries()]);
    const files = forms.map((form) => form.get('file') as File);
    assert.deepEqual(odd?.slice(0, 2), [
      ['mode', 'grey'],
      ['a"b', 'ö'],
    ]);
    assert.deepEqual([files[0]?.name, files[0]?.size], [fileName, 0]);
    assert.deepEqual([plain?.length, await files[1]?.text()], [1, 'bytes of an image']);
  });
});

describe('following a job', () => {
  it('following continues at another address after the last event until the job ends', async () => {
    const lastIds: (string | undefined)[] = [];
    const write = (response: ServerResponse, id: number, state: Partial<ImageJob>): boolean =>
      response.write(`id: ${id}\ndata: ${JSON.stringify({ ...job, ...state })}\n\n`);
    const first = await serve((request, response) => {
      lastIds.push(request.headers['last-event-id'] as string | undefined);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      write(response, 1, {});
      write(response, 2, { phase: 'mapping', progress: { done: 1, chunks: 4 } });
      setTimeout(() => response.socket?.destroy(), 50);
    });
    const second = await serve((request, response) => {
      lastIds.push(request.headers['last-event-id'] as string | undefined);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': still here\n\n');
      write(response, 3, { phase: 'finished', result: '/v1/jobs/j1/result' });
      response.end();
    });
    const phases: string[] = [];
    for await (const { phase } of client([first, second]).follow('j1')) phases.push(phase);
    assert.deepEqual(phases, ['queued', 'mapping', 'finished']);
    assert.deepEqual(lastIds, [undefined, '2']);
  });

  it('following notices a stream that has fallen silent', async () => {
    let asked = 0;
    const silent = await serve((_request, response) => {
      asked += 1;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
    });
    const speaking = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`id: 1\ndata: ${JSON.stringify({ ...job, phase: 'cancelled' })}\n\n`);
    });
    const ended = await client([silent, speaking], { silenceTimeoutMs: 200 }).finished('j1');
    assert.equal(ended.phase, 'cancelled');
    assert.equal(asked, 1);
  });

  it('following ends when its caller aborts', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`id: 1\ndata: ${JSON.stringify(job)}\n\n`);
    });
    const enough = new AbortController();
    await assert.rejects(
      async () => {
        for await (const state of client([url]).follow('j1', enough.signal)) {
          assert.equal(state.phase, 'queued');
          enough.abort();
        }
      },
      { name: 'AbortError' },
    );
  });
});

describe('the result', () => {
  it('a result that breaks off half-way is fetched again and appears complete', async () => {
    const half = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '8' });
      response.write('half');
      setTimeout(() => response.socket?.destroy(), 20);
    });
    const whole = await serve((_request, response) => void response.end('whole!!!'));
    const out = path.join(folder, 'out.png');
    await client([half, whole]).download('j1', out);
    assert.equal(readFileSync(out, 'utf8'), 'whole!!!');
  });

  it('an aborted download leaves no file behind', async () => {
    const enough = new AbortController();
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '8' });
      response.write('half');
      setTimeout(() => enough.abort(), 50);
    });
    const before = readdirSync(folder).sort();
    const out = path.join(folder, 'aborted.png');
    await assert.rejects(client([url]).download('j1', out, enough.signal), { name: 'AbortError' });
    assert.deepEqual(readdirSync(folder).sort(), before);
    assert.ok(!openFiles().some((file) => file.startsWith(out)));
  });

  it('an absent result leaves no file behind', async () => {
    const url = await serve((_request, response) => answer(response, 410, { ...problem, status: 410 }));
    const before = readdirSync(folder).sort();
    await assert.rejects(client([url]).download('j1', path.join(folder, 'none.png')), { status: 410 });
    assert.deepEqual(readdirSync(folder).sort(), before);
  });
});
