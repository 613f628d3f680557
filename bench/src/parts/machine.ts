/** The machine for which the figures hold. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { SqlPool } from '@thermomesh/sql';
import { percentile } from '../core/statistics.ts';

export interface Machine {
  cores: number;
  model: string;
  memoryGiB: number;
  kernel: string;
  node: string;
  /** Version of PostgreSQL, if one takes part. */
  postgresql?: string;
  /** Settings that decide what a COMMIT promises and costs. */
  postgresqlSettings?: Record<string, string>;
  /** Median of one write and fdatasync of 4 KiB in the folder that holds all data. */
  fdatasyncMs: number;
}

const settings = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size'];
const syncs = 40;

/**
 * Describes this machine.
 * @param folder holds all data of the run
 * @param pool of the PostgreSQL that takes part, if one does
 */
export async function describeMachine(folder: string, pool?: SqlPool): Promise<Machine> {
  return {
    cores: os.availableParallelism(),
    model: os.cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    node: process.version,
    ...(pool === undefined ? {} : await describePostgres(pool)),
    fdatasyncMs: measureSync(path.join(folder, 'sync')),
  };
}

async function describePostgres(pool: SqlPool) {
  const rows = await pool.query<{ name: string; value: string }>(
    'SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY($1)',
    [settings],
  );
  const [version] = await pool.query<{ server_version: string }>('SHOW server_version');
  return {
    postgresql: version?.server_version ?? 'unknown',
    postgresqlSettings: Object.fromEntries(rows.map(({ name, value }) => [name, value])),
  };
}

function measureSync(file: string): number {
  const descriptor = openSync(file, 'w');
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  try {
    for (let count = 0; count < syncs; count++) {
      const startedAt = performance.now();
      writeSync(descriptor, block);
      fdatasyncSync(descriptor);
      times.push(performance.now() - startedAt);
    }
  } finally {
    closeSync(descriptor);
    rmSync(file);
  }
  return (
    Math.round(
      percentile(
        times.sort((a, b) => a - b),
        50,
      ) * 1000,
    ) / 1000
  );
}
