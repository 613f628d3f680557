import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from './client.ts';
import { KafkaClosedError, KafkaUnavailableError } from './errors.ts';
import { retryUntil } from './retry.ts';
import { defaultKafkaSettings } from './settings.ts';
import { openTopicAdmin } from './topics.ts';

const never = async () => new Promise<never>(() => undefined);
const settings = { ...defaultKafkaSettings, brokers: ['b:1'], clientId: 'test' };
const ignore = () => undefined;

describe('promises of the library that never settle', () => {
  it('a call returns although its connection hangs while it disconnects', async () => {
    const admin = { connect: async () => undefined, disconnect: never, listTopics: async () => ['a', '__b'] };
    const client = {
      kafka: { admin: () => admin },
      settings: { ...settings, closeTimeoutMs: 1 },
      reporting: { log: { debug: ignore, info: ignore, warn: ignore }, observer: {} },
      retry: {},
    } as unknown as Client;
    assert.deepEqual(await openTopicAdmin(client).list(), ['a']);
  });

  it('an attempt that hangs ends one request timeout after the deadline of its call', async () => {
    const { signal } = new AbortController();
    const short = { ...settings, requestTimeoutMs: 1 };
    await assert.rejects(
      retryUntil(never, { settings: short, deadlineMs: 1, signal }),
      KafkaUnavailableError,
    );
  });

  it('an attempt that hangs ends when the client is closed', async () => {
    const closing = new AbortController();
    const call = retryUntil(never, { settings, deadlineMs: 60_000, signal: closing.signal });
    closing.abort();
    await assert.rejects(call, KafkaClosedError);
  });
});
