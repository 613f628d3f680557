/** The card processor as its verifier uses it: its own ledger, and its faults. */
import { readFileSync } from 'node:fs';
import { MeshError } from '@thermomesh/runtime';
import Type from 'typebox';
import { meshError } from '../../errors.ts';
import { createMeshHttp } from '../http.ts';
import type { Mesh } from '../mesh.ts';
import { until } from '../until.ts';
import type { LedgerEntry } from './judge.ts';

/** Reading a ledger of a hundred thousand entries takes this long at most. */
const ledgerTimeoutMs = 60_000;
const switchTimeoutMs = 30_000;

const Ledger = Type.Object({
  entries: Type.Array(
    Type.Object({
      key: Type.String(),
      kind: Type.String(),
      status: Type.String(),
      amountMinor: Type.Integer(),
      currency: Type.String(),
    }),
  ),
});
const Anything = Type.Object({});

export interface ProcessorClient {
  /** Every charge, in the order of the decisions. */
  charges(): Promise<LedgerEntry[]>;
  /**
   * Replaces the fault plan; repeats until the processor has accepted it.
   * @throws MeshError `mesh.timeout`
   */
  setFaults(plan: Record<string, unknown>): Promise<void>;
}

/**
 * Creates a client.
 * @param secret the processor's secret
 */
export function createProcessorClient(url: string, secret: string): ProcessorClient {
  const reader = createMeshHttp(secret, ledgerTimeoutMs);
  const switcher = createMeshHttp(secret);
  return {
    async charges() {
      const { entries } = await reader.get(`${url}/v1/ledger`, Ledger);
      return entries.filter(({ kind }) => kind === 'charge');
    },
    async setFaults(plan) {
      await until({ what: 'the card processor to take its faults', timeoutMs: switchTimeoutMs }, async () =>
        switcher.put(`${url}/v1/faults`, Anything, plan).then(
          () => true,
          (error: unknown) => {
            if (error instanceof MeshError && error.retriable) return false;
            throw error;
          },
        ),
      );
    },
  };
}

/**
 * The client of a running mesh's processor.
 * @throws MeshError `usage` if the mesh runs none
 */
export function processorOf(mesh: Mesh): ProcessorClient {
  const record = mesh.run()?.processes.find(({ role }) => role === 'card-processor');
  if (record?.url === undefined || record.url === null)
    throw meshError(
      'usage',
      `the mesh "${mesh.name}" runs no payments: it was started without them, or they are off; see ${mesh.layout.logFile('events')}`,
    );
  return createProcessorClient(record.url, readFileSync(mesh.layout.processorSecretFile, 'utf8').trim());
}
