import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import {
  answerTo,
  bytesOf,
  deadNode,
  frozenNode,
  gateway,
  impatient,
  json,
  upstream,
  form,
} from '../testing.ts';

const headers = { 'content-type': form };

describe('an upload', () => {
  it('an upload reaches the node while the caller still sends', async () => {
    let arrived = 0;
    const node = await upstream((request, response) => {
      request.on('data', (chunk: Buffer) => (arrived += chunk.length));
      request.on('end', () => void json(response, 201, { arrived }));
    });
    const { upload } = await gateway([node.url]);
    for (const headers of [
      { 'content-length': '2000' },
      { 'content-type': 'multipart/form-data; boundary=b' },
    ]) {
      arrived = 0;
      const request = upload(headers);
      request.write(Buffer.alloc(1_000));
      await until('the first half', () => arrived === 1_000);
      request.end(Buffer.alloc(1_000));
      assert.deepEqual(await answerTo(request), { status: 201, body: '{"arrived":2000}' });
    }
    assert.equal(node.requests[0]?.headers['content-length'], '2000');
    assert.equal(node.requests[1]?.headers['content-type'], 'multipart/form-data; boundary=b');
  });

  it('a large upload reaches the node whole and is never held in memory', async () => {
    const pieces = 64;
    const piece = Buffer.alloc(1_048_576);
    const reading = Promise.withResolvers<undefined>();
    const node = await upstream((request, response) => {
      // The node reads nothing until the test lets it.
      void reading.promise.then(async () => json(response, 201, { bytes: await bytesOf(request) }));
    });
    const { upload } = await gateway([node.url]);
    const request = upload();
    let sent = 0;
    const more = async () => {
      for (; sent < pieces; sent += 1) if (!request.write(piece)) await once(request, 'drain');
      request.end();
    };
    const sending = more();
    await until('the node to have it', () => node.requests.length === 1);
    await until('the upload to flow', () => sent > 0);
    // Wait until nothing moves any more: the bytes taken so far are in buffers on the way.
    for (let before = -1; before !== sent; await delay(200)) before = sent;
    assert.ok(sent < 30, `${sent} MiB were taken while the node did not read`);
    const answered = answerTo(request);
    reading.resolve(undefined);
    await sending;
    assert.equal(sent, pieces, 'the upload is larger than what was held back');
    assert.deepEqual(JSON.parse((await answered).body), { bytes: pieces * piece.length });
  });

  it('an upload whose first node is dead or frozen goes whole to the next node', async () => {
    for (const bad of [await deadNode(), await frozenNode()]) {
      const node = await upstream((request, response) => {
        void bytesOf(request).then((bytes) => json(response, 201, { bytes }));
      });
      const { ask } = await gateway([bad, node.url], impatient);
      for (let round = 0; round < 3; round++) {
        const response = await ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(300_000), headers });
        assert.deepEqual([response.status, await response.json()], [201, { bytes: 300_000 }]);
      }
      assert.equal(node.requests.length, 3);
    }
  });

  it('a node killed in the middle of an upload means 503, and no node gets half of it', async () => {
    const second = await upstream((_request, response) => void json(response, 201, {}));
    const first = await upstream((request) => void request.once('data', () => request.socket.destroy()));
    const { upload, ask } = await gateway([first.url, second.url]);
    const request = upload();
    request.on('error', () => undefined);
    request.write(Buffer.alloc(100_000));
    const answer = await answerTo(request);
    assert.equal(answer.status, 503);
    assert.equal((JSON.parse(answer.body) as { code: string }).code, 'jobs.interrupted');
    assert.equal(second.requests.length, 0);
    request.destroy();
    // From now on the dead node is asked last.
    assert.equal((await ask('/v1/jobs')).status, 201);
  });

  it('the caller of an upload that is refused before its end gets the refusal', async () => {
    const node = await upstream((request, response) => {
      request.once('data', () => json(response, 413, { code: 'image.bytes_limit' }));
      request.resume();
    });
    const { ask } = await gateway([node.url]);
    const response = await ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(20_000_000), headers });
    assert.deepEqual([response.status, await response.json()], [413, { code: 'image.bytes_limit' }]);
    const hangingUp = await upstream((request, response) => {
      request.once('data', () => {
        request.pause();
        json(response, 413, { code: 'image.bytes_limit' });
        response.on('finish', () => request.socket.destroySoon());
      });
    });
    const other = await gateway([hangingUp.url]);
    const cut = await other.ask('/v1/jobs', { method: 'POST', body: Buffer.alloc(20_000_000), headers });
    assert.ok([413, 503].includes(cut.status), `${cut.status}`);
  });

  it('an upload whose caller disconnects is cut at the node too', async () => {
    let cut = false;
    const node = await upstream((request) => {
      request.resume();
      request.once('close', () => (cut = !request.complete));
    });
    const { upload } = await gateway([node.url]);
    const request = upload({ 'content-length': '1000' });
    request.on('error', () => undefined);
    request.write(Buffer.alloc(500));
    await until('it to arrive', () => node.requests.length === 1);
    request.destroy();
    await until('the cut', () => cut);
  });
});
