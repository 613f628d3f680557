/** A process that takes part in a demonstration, as its parent sees it. */
import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '@thermomesh/runtime';
import type { Errand, News } from './player-child.ts';
import type { RecordLine } from './record.ts';

const script = path.join(import.meta.dirname, 'player-child.ts');
/** For each step of a demonstration. */
const stepTimeoutMs = 60_000;
const pollIntervalMs = 10;

export class Player {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #ready = false;
  #working = false;
  #over = false;

  constructor(hosts: string, name: string, recordFile: string) {
    this.name = name;
    // Without options of the parent's Node; what it says wrong is seen.
    this.#child = fork(script, [hosts, name, recordFile], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (news: News) => {
      if (news === 'ready') this.#ready = true;
      else this.#working = false;
    });
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        resolve();
      };
      this.#child.once('exit', end);
      this.#child.once('error', end);
    });
  }

  get alive(): boolean {
    return !this.#over;
  }

  async untilReady(): Promise<void> {
    await untilStep(() => this.#ready || this.#over, `${this.name} to be there`);
    if (this.#over) throw new MeshError('demo.stuck', `${this.name} ended before it began`);
  }

  begin(errand: Errand): void {
    this.#working = true;
    this.#child.send(errand);
  }

  /** It has done what it was sent to do. @throws MeshError `demo.stuck` also if it has ended instead */
  async done(): Promise<void> {
    await untilStep(() => !this.#working || this.#over, `${this.name} to be done`);
    if (this.#working) throw new MeshError('demo.stuck', `${this.name} ended before it was done`);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** kill -9; returns when the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Ends it in order, by force if that takes too long. */
  async dismiss(): Promise<void> {
    if (this.#over) return;
    // One that was stopped hears nothing.
    this.#child.kill('SIGCONT');
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stepTimeoutMs);
    await this.#ended;
    clearTimeout(late);
  }
}

/** Starts one process for each name; none stays if one of them does not come up. */
export async function startPlayers(
  hosts: string,
  names: readonly string[],
  recordFile: string,
): Promise<Player[]> {
  const players = names.map((name) => new Player(hosts, name, recordFile));
  try {
    await Promise.all(players.map(async (player) => player.untilReady()));
    return players;
  } catch (error) {
    await Promise.all(players.map(async (player) => player.kill()));
    throw error;
  }
}

export function readRecord(file: string): RecordLine[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  // The last line of a killed process is whole: one write, of a few bytes.
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordLine);
}

/** Waits for the condition. @throws MeshError `demo.stuck` */
export async function untilStep(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + stepTimeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new MeshError('demo.stuck', `waited in vain for ${what}`);
    await delay(pollIntervalMs);
  }
}
