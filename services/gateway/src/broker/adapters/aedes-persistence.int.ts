import { test } from 'node:test';
import abstractPersistence from 'aedes-persistence/abstract.js';
import { createCommitter } from '../storage/committer.ts';
import { createMemoryStore } from '../core/memory-store.ts';
import { openMessageLog } from '../storage/message-log.ts';
import { Sessions } from '../storage/sessions.ts';
import type { Store } from '../core/ports.ts';
import { LmdbPersistence } from './aedes-persistence.ts';
import { openLmdbStore } from './lmdb-store.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Runs the suite that Aedes exports for persistences on both engines. */
for (const [name, openStore] of Object.entries({ lmdb: openTemporary, memory: createMemoryStore })) {
  test(`the suite of aedes-persistence passes on ${name}`, async (t) => {
    const pending: Promise<void>[] = [];
    abstractPersistence({
      test: (title: string, body: (t: unknown) => Promise<void>) => void pending.push(t.test(title, body)),
      testAsync: true,
      persistence: async () => openPersistence(await openStore()),
    });
    await Promise.all(pending);
  });
}

async function openPersistence(store: Store): Promise<LmdbPersistence> {
  const committer = createCommitter({
    store,
    lingerMs: 0,
    retry: { minMs: 1, maxMs: 5 },
    onState: () => undefined,
  });
  const messages = await openMessageLog(store, committer);
  const sessions = new Sessions(store, committer, messages);
  const persistence = new LmdbPersistence({ store, committer, sessions, windowMessagesMax: 1000 });
  const destroy = persistence.destroy.bind(persistence);
  persistence.destroy = async () => {
    await destroy();
    await committer.close(1000);
    await store.close();
  };
  return persistence;
}

async function openTemporary(): Promise<Store> {
  const folder = mkdtempSync(path.join(tmpdir(), 'thermomesh-gateway-'));
  const store = await openLmdbStore({ path: folder, mapBytesMax: 2 ** 26 });
  return {
    ...store,
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}
