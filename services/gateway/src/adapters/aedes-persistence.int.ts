import { test } from 'node:test';
import abstractPersistence from 'aedes-persistence/abstract.js';
import { createCommitter } from '../core/committer.ts';
import { createMemoryStore } from '../core/memory-store.ts';
import { openMessageLog } from '../core/message-log.ts';
import { Sessions } from '../core/sessions.ts';
import type { Store } from '../core/store.ts';
import { LmdbPersistence } from './aedes-persistence.ts';
import { openLmdbStore } from './lmdb-store.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The suite that Aedes exports for persistences, on both engines. */
for (const [name, openStore] of Object.entries({ lmdb: openTemporary, memory: createMemoryStore })) {
  test(`aedes-persistence on ${name}`, async (t) => {
    const pending: Promise<void>[] = [];
    abstractPersistence({
      test: (title: string, body: (t: unknown) => Promise<void>) => void pending.push(t.test(title, body)),
      testAsync: true,
      persistence: () => openPersistence(openStore()),
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
  const log = await openMessageLog(store, committer);
  const sessions = new Sessions(store, committer, log);
  const persistence = new LmdbPersistence({ store, committer, sessions, windowMessagesMax: 1000 });
  const destroy = persistence.destroy.bind(persistence);
  persistence.destroy = async () => {
    await destroy();
    await committer.close(1000);
    await store.close();
  };
  return persistence;
}

function openTemporary(): Store {
  const folder = mkdtempSync(path.join(tmpdir(), 'thermomesh-gateway-'));
  const store = openLmdbStore({ path: folder, mapBytesMax: 2 ** 26 });
  return {
    ...store,
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}
