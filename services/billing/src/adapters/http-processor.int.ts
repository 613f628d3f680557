/**
 * Every failure of the processor or of the connection is an unknown outcome; its reason contains
 * nothing of the request.
 */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, it } from 'node:test';
import { withRequestId } from '@thermomesh/runtime';
import type { Operation } from '../core/operation.ts';
import type { ProcessorClient } from '../core/ports.ts';
import { createProcessorClient } from './http-processor.ts';

const token = 'tok_4242424242424242';
const operation = {
  caller: 'gateway',
  transactionId: 'u1',
  kind: 'charge',
  paymentId: null,
  processorCharge: null,
  payer: 'alice',
  amountMinor: 100,
  currency: 'EUR',
  processorKey: 'tm_1',
} as Operation;
const answer = { id: 'ch_1', status: 'charged', reason: null, amountMinor: 100, currency: 'EUR' };
let respond: (request: IncomingMessage, response: ServerResponse, body: string) => void;
/** A client that waits long, because the machine of a test may be slow. */
let client: ProcessorClient;
/** A client for servers that never answer. */
let hasty: ProcessorClient;
const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk: string) => void (body += chunk));
  request.on('end', () => respond(request, response, body));
});

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/`;
  const options = { url, secret: 's'.repeat(32), connectionsMax: 2 };
  client = createProcessorClient({ ...options, timeoutMs: 20_000 });
  hasty = createProcessorClient({ ...options, timeoutMs: 300 });
});
after(() => {
  client.close();
  hasty.close();
  server.closeAllConnections();
  server.close();
});

it('an order is sent under the derived key and its answer is read', async () => {
  respond = (request, response, body) => {
    assert.deepEqual(
      [request.method, request.url, request.headers['idempotency-key'], request.headers['content-type']],
      ['POST', '/api/v1/charges', 'tm_1', 'application/json'],
    );
    assert.equal(request.headers['request-id'], 'mine');
    assert.deepEqual(JSON.parse(body), { amountMinor: 100, currency: 'EUR', paymentToken: token });
    response.writeHead(201).end(JSON.stringify({ ...answer, more: 'of its own' }));
  };
  const reply = await withRequestId('mine', () => client.send(operation, token));
  assert.deepEqual(reply, { known: true, answer: { outcome: 'charged', reference: 'ch_1', reason: null } });
});

const failures: Record<string, [string, typeof respond]> = {
  'a 5xx': ['status_503', (_, response) => response.writeHead(503).end('no')],
  'a 4xx': ['status_404', (_, response) => response.writeHead(404).end(`no ${token}`)],
  'a 200 where a 201 is due': [
    'status_200',
    (_, response) => response.writeHead(200).end(JSON.stringify(answer)),
  ],
  'no JSON': ['unreadable_answer', (_, response) => response.writeHead(201).end(`<html>${token}`)],
  'JSON of another shape': ['unreadable_answer', (_, response) => response.writeHead(201).end('{"id":1}')],
  'another amount': [
    'answer_to_another_question',
    (_, response) => response.writeHead(201).end(JSON.stringify({ ...answer, amountMinor: 1 })),
  ],
  'an answer without an end': [
    'processor.answer_too_large',
    (_, response) => void response.writeHead(201).end('x'.repeat(1024 * 1024)),
  ],
  'a broken connection': ['ECONNRESET', (request) => request.socket.destroy()],
};
const silences: Record<string, typeof respond> = {
  'no answer': () => undefined,
  'half an answer': (_, response) => response.writeHead(201, { 'content-length': 99 }).write('{'),
};
for (const [failure, [reason, act]] of Object.entries(failures)) {
  it(`${failure} is unknown, and the next call is answered`, async () => {
    respond = act;
    assert.deepEqual(await client.send(operation, token), { known: false, reason });
    respond = (_, response) => response.writeHead(201).end(JSON.stringify(answer));
    assert.equal((await client.send(operation, token)).known, true);
  });
}

for (const [silence, act] of Object.entries(silences)) {
  it(`${silence} is unknown in time and blocks no later call`, async () => {
    respond = act;
    // More calls than there are connections.
    for (let n = 0; n < 3; n++)
      assert.deepEqual(await hasty.send(operation, token), { known: false, reason: 'processor.timeout' });
    respond = (_, response) => response.writeHead(201).end(JSON.stringify(answer));
    for (const deadlineMs = Date.now() + 20_000; !(await hasty.send(operation, token)).known;)
      assert.ok(Date.now() < deadlineMs, 'the client got no answer again');
  });
}

it('a port on which no process listens is unknown', async () => {
  const none = createProcessorClient({
    url: 'http://127.0.0.1:1',
    secret: 's'.repeat(32),
    timeoutMs: 20_000,
    connectionsMax: 1,
  });
  assert.deepEqual(await none.send(operation, token), { known: false, reason: 'ECONNREFUSED' });
  none.close();
});
