/** The parent's side of a process that takes part in a demonstration. */
import { fork, type ChildProcess, type Serializable } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { sleep } from '@thermomesh/runtime';
import { meshError } from '../errors.ts';

/** Time limit of each step of a demonstration: a process starts, works, stops or ends. */
const stepTimeoutMs = 60_000;
const pollIntervalMs = 10;

export interface DemoProcessOptions<News> {
  /** For error texts. */
  name: string;
  /** Path of the child's program. */
  script: string;
  args: readonly string[];
  /** Receives each message of the child except its first one, which reports that it is ready. */
  onNews: (news: News) => void;
}

/** One child process. `Orders` are the messages to it, `News` the messages from it. */
export class DemoProcess<Orders extends Serializable, News extends { type: string }> {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #ready = false;
  #over = false;

  constructor({ name, script, args, onNews }: DemoProcessOptions<News>) {
    this.#name = name;
    // The options of the parent's Node are not passed on; the child's stderr is shown.
    this.#child = fork(script, [...args], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (news: News | Ready) => {
      if (news.type === 'ready') this.#ready = true;
      else onNews(news as News);
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

  /** @throws MeshError `demo.stuck` if the process ends before it is ready, or takes too long */
  async untilReady(): Promise<void> {
    await untilStep(`${this.#name} to be ready`, () => this.#ready || this.#over);
    if (this.#over) throw meshError('demo.stuck', `${this.#name} ended before it was ready`);
  }

  send(order: Orders): void {
    this.#child.send(order);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Sends SIGKILL and resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Ends the process gracefully, or with SIGKILL if that takes too long. */
  async dismiss(): Promise<void> {
    if (this.#over) return;
    // A stopped process cannot notice that its parent disconnects.
    this.#child.kill('SIGCONT');
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), stepTimeoutMs);
    await this.#ended;
    clearTimeout(late);
  }
}

/** The first message of every child. */
interface Ready {
  type: 'ready';
}

/** The lines of a record, a file to which the processes append one JSON document a line. */
export function readRecord<Line>(file: string): Line[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  // A killed process leaves no partial line: each line is one write of a few bytes.
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}

/**
 * Resolves when `holds` returns true.
 * @param what the condition in words, for the error
 * @throws MeshError `demo.stuck`
 */
export async function untilStep(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + stepTimeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw meshError('demo.stuck', `waited in vain for ${what}`);
    await sleep(pollIntervalMs);
  }
}
