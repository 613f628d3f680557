/** Starts single processes of the mesh, which a test can kill and start again. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/** The root folder of this repository. */
export const repository = path.resolve(import.meta.dirname, '../..');

/** A process that keeps its settings, and so its ports and its folder, across restarts. */
export interface ManagedProcess {
  /** Starts it with `env` on top of its settings; resolves when it reports that it is ready. */
  start(env?: Record<string, string>): Promise<void>;
  /** Sends the signal; after SIGKILL and SIGTERM it resolves when the process has ended. */
  signal(name: NodeJS.Signals): Promise<void>;
  /** Resolves when the process that runs now has ended, whatever ended it. */
  ended(): Promise<void>;
  /** All output of the process so far; empty unless its output is collected. */
  logged(): string;
}

/** How {@link managedProcess} runs a process. */
export interface ProcessOptions {
  /** For error messages. */
  name: string;
  /** Path of its `main.ts` below the repository. */
  main: string;
  settings: Record<string, string>;
  /** Whether its output is kept for {@link ManagedProcess.logged} or shown with the test's own. */
  output: 'collected' | 'inherited';
}

/** Makes the handle of one process; `start` starts it. */
export function managedProcess({ name, main, settings, output }: ProcessOptions): ManagedProcess {
  let child: ChildProcess | undefined;
  let log = '';
  const isOver = () => child === undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    logged: () => log,
    async start(env = {}) {
      const started = fork(path.join(repository, main), {
        env: { ...process.env, ...settings, ...env },
        ...(output === 'collected' && { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] }),
      });
      child = started;
      for (const stream of [started.stdout, started.stderr])
        stream?.on('data', (bytes: Buffer) => (log += bytes.toString()));
      const failed = once(started, 'exit').then(() => {
        throw new Error(`${name} ended before it was ready: ${log.slice(-1_000)}`);
      });
      // When the process ends later, the test has ended it.
      failed.catch(() => undefined);
      await Promise.race([once(started, 'message'), failed]);
    },
    async signal(signal) {
      if (child === undefined || isOver()) return;
      const ends = signal === 'SIGKILL' || signal === 'SIGTERM' ? once(child, 'exit') : undefined;
      child.kill(signal);
      await ends;
    },
    async ended() {
      if (child !== undefined && !isOver()) await once(child, 'exit');
    },
  };
}

/**
 * Applies a service's migrations to an empty database.
 * @throws Error if the migration program fails
 */
export async function migrate(service: 'billing' | 'gateway', databaseUrl: string): Promise<void> {
  const program = fork(path.join(repository, 'services', service, 'src/migrate.ts'), {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [code] = (await once(program, 'exit')) as [number];
  if (code !== 0) throw new Error(`the migration of ${service} ended with ${code}`);
}
