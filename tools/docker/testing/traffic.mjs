/**
 * Traffic during the upgrade: orders and images of a customer with an API key, judged at the end.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { deriveToken, subjects } from '../../../libs/runtime/src/index.ts';
import { until } from './project.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');
const sampleSidePixels = 240;
const orderPauseMs = 250;
const imagePauseMs = 1_500;
const tryTimeoutMs = 4_000;
const acceptTimeoutMs = 120_000;
const finalTimeoutMs = 60_000;
/** Amounts from here on identify a charge: no other order of a run costs as much. */
const amountFirstMinor = 7_000_000;

/** Makes an API key with the mesh command in a container, and writes it to a file. */
export async function makeKey({ compose, home }) {
  const words = ['run', '--rm', '--no-deps', 'tools', 'api-key', 'create'];
  const { stdout } = await compose({}, ...words, '--scopes', 'read,checkout,images');
  const key = stdout.trim().split('\n').at(-1) ?? '';
  const file = path.join(home, 'key');
  await writeFile(file, `${key}\n`, { mode: 0o600 });
  return { key, file };
}

/** Makes images of many kinds, and the result of one process alone for each. */
export async function makeSamples({ home }) {
  const script = path.join(root, 'services/equalizer/src/programs/samples/main.ts');
  const words = [script, path.join(home, 'samples'), '--side', String(sampleSidePixels)];
  return JSON.parse((await run(process.execPath, words)).stdout).samples;
}

/**
 * Sends one image and compares the result, byte by byte.
 * @param {string[]} where more words of the command, such as another address
 */
export async function equalize(project, { kind, file, expected, fields }, { keyFile, where = [] }) {
  const out = path.join(project.home, `result-${kind}`);
  const asked = Object.entries(fields).flatMap(([name, value]) => [`--${name}`, value]);
  await project.mesh('equalize', file, '--out', out, '--key', `@${keyFile}`, ...asked, ...where);
  const [got, wanted] = await Promise.all([readFile(out), readFile(expected)]);
  assert.ok(got.equals(wanted), `${kind}: ${got.length} bytes, not those of one process alone`);
}

/**
 * Sends one image after the other until `end` is called.
 * @returns {{ end: () => Promise<number> }} `end` returns the number of images
 */
export function startImages(project, samples, keyFile) {
  let over = false;
  let count = 0;
  const loop = async () => {
    for (; !over; count += 1) {
      await equalize(project, samples[count % samples.length], { keyFile });
      await delay(imagePauseMs);
    }
  };
  return ending(
    loop(),
    () => (over = true),
    () => count,
  );
}

/**
 * Sends orders at a fixed rate until `end` is called, which checks that each is final, and charged
 * once by the card processor's own ledger.
 */
export function startOrders(project, key) {
  let over = false;
  /** @type {Map<string, number>} checkout ids and amounts */
  const accepted = new Map();
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const order = async (amountMinor) => {
    const body = JSON.stringify({ payer: 'upgrade', amountMinor, currency: 'EUR', paymentToken: 'tok_visa' });
    const ownKey = randomUUID();
    await until('a 202', acceptTimeoutMs, async () => {
      project.signal.throwIfAborted();
      const init = { method: 'POST', headers: { ...headers, 'idempotency-key': ownKey }, body };
      const answer = await ask(project.url('HTTP', '/v1/checkouts'), init);
      if (answer?.status === 202) accepted.set(answer.body.checkoutId, amountMinor);
      else
        assert.ok(
          answer === undefined || answer.status >= 500 || [409, 429].includes(answer.status),
          String(answer?.status),
        );
      return answer?.status === 202;
    });
  };
  const loop = async () => {
    for (let amountMinor = amountFirstMinor; !over; amountMinor += 1) {
      await order(amountMinor);
      await delay(orderPauseMs);
    }
  };
  return ending(
    loop(),
    () => (over = true),
    async () => {
      for (const id of accepted.keys())
        await until(`order ${id} to be charged`, finalTimeoutMs, async () => {
          const answer = await ask(project.url('HTTP', `/v1/checkouts/${id}`), { headers });
          return answer?.body?.status === 'charged';
        });
      const charges = (await ledger(project)).filter(
        ({ kind, status }) => kind === 'charge' && status === 'charged',
      );
      for (const amountMinor of accepted.values())
        assert.equal(
          charges.filter((each) => each.amountMinor === amountMinor).length,
          1,
          `charges of ${amountMinor}`,
        );
      return accepted.size;
    },
  );
}

/** A handle that stops the loop, waits for it, rethrows its error, and returns the result. */
function ending(loop, stop, result) {
  loop.catch(() => undefined);
  return {
    async end() {
      stop();
      await loop;
      return result();
    },
  };
}

/** Sends one request; undefined if there is no answer now. */
async function ask(url, init) {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(tryTimeoutMs) });
    return { status: response.status, body: await response.json() };
  } catch {
    // Refused, broken or late: the caller repeats the request under the same key.
    return undefined;
  }
}

/** Reads the card processor's own ledger. */
async function ledger({ home, name, url }) {
  const secret = (await readFile(path.join(home, `compose-${name}`, 'processor.secret'), 'utf8')).trim();
  const headers = { authorization: `Bearer ${deriveToken(secret, subjects.operator)}` };
  const answer = await fetch(url('CARD_PROCESSOR', '/v1/ledger'), { headers });
  assert.equal(answer.status, 200);
  return (await answer.json()).entries;
}
