/** A process that plays one role of a demonstration, as its parent sees it. */
import path from 'node:path';
import { meshError } from '../errors.ts';
import { DemoProcess, untilStep } from './demo-process.ts';
import type { Errand, PlayerNews } from './player-child.ts';

const script = path.join(import.meta.dirname, 'player-child.ts');

export class Player {
  readonly name: string;
  readonly #process: DemoProcess<Errand, PlayerNews>;
  #working = false;

  constructor(hosts: string, name: string, recordFile: string) {
    this.name = name;
    this.#process = new DemoProcess<Errand, PlayerNews>({
      name,
      script,
      args: [hosts, name, recordFile],
      onNews: () => {
        this.#working = false;
      },
    });
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  /** @throws MeshError `demo.stuck` */
  async untilReady(): Promise<void> {
    return this.#process.untilReady();
  }

  begin(errand: Errand): void {
    this.#working = true;
    this.#process.send(errand);
  }

  /**
   * Resolves when the process has finished its errand.
   * @throws MeshError `demo.stuck`, also if the process has ended instead
   */
  async done(): Promise<void> {
    await untilStep(`${this.name} to be done`, () => !this.#working || !this.alive);
    if (this.#working) throw meshError('demo.stuck', `${this.name} ended before it was done`);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.signal(signal);
  }

  /** Sends SIGKILL and resolves when the process has ended. */
  async kill(): Promise<void> {
    return this.#process.kill();
  }

  /** Ends the process gracefully, or with SIGKILL if that takes too long. */
  async dismiss(): Promise<void> {
    return this.#process.dismiss();
  }
}

/** Starts one process for each name. If one of them fails, all of them are killed. */
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
