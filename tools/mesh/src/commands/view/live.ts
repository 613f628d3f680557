/** The live table of `mesh up` on a terminal. */
import { setTimeout as delay } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { messageOf } from '@thermomesh/runtime';
import type { Mesh } from '../../mesh/mesh.ts';
import { readView } from './read-view.ts';
import { renderAccounts, renderProcesses } from './status.ts';

const refreshIntervalMs = 1_000;

export interface LiveView {
  /** Prints a line above the table; it stays. */
  print(line: string): void;
  stop(): void;
}

/** Shows the table and refreshes it once a second. */
export function showLive(mesh: Mesh): LiveView {
  const update = createLogUpdate(process.stdout);
  let last: { stored: number; at: number } | undefined;
  let shown = '';
  let stopped = false;

  async function refresh(): Promise<void> {
    const view = await readView(mesh);
    const { stored } = view.document.accounts;
    const at = Date.now();
    if (stored !== null && last !== undefined && at > last.at) {
      view.rowsPerSecond = Math.max(0, Math.round(((stored - last.stored) * 1000) / (at - last.at)));
    }
    if (stored !== null) last = { stored, at };
    if (stopped) return;
    shown = `${renderProcesses(view, true)}\n${renderAccounts(view.document.accounts)}\nCtrl-C stops the mesh`;
    update(shown);
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      await refresh().catch((error: unknown) => update(`no view: ${messageOf(error)}`));
      await delay(refreshIntervalMs, undefined, { ref: false });
    }
  }
  void loop();

  return {
    print(line) {
      update.clear();
      process.stdout.write(`${line}\n`);
      if (shown !== '' && !stopped) update(shown);
    },
    stop() {
      stopped = true;
      update.done();
    },
  };
}
