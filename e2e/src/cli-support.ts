/** Runs the `mesh` command as a process and reads the documents that it prints. */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { documentIssues, type DocumentOf, type DocumentSchema } from '@thermomesh/contracts';
import { repository } from './process-support.ts';
import { waitMs } from './support.ts';

const bin = path.join(repository, 'tools/mesh/bin/mesh.mjs');

/** How a run of the command ended, and what it printed. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command that is still running and prints one document a line. */
export interface Stream<D> {
  child: ChildProcess;
  documents: D[];
  /** Resolves with the exit code. */
  ended: Promise<number | null>;
}

/**
 * Makes functions that run the command as processes.
 * @param environment returns the environment of a process; called once for each
 * @param options.timeoutMs maximum duration of a command, which is then killed; default 60 s
 */
export function cliOf(environment: () => NodeJS.ProcessEnv, { timeoutMs = waitMs } = {}) {
  /** Runs `mesh …` to its end, whatever its exit code. */
  async function mesh(...words: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [bin, ...words],
        { env: environment(), timeout: timeoutMs },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
      );
    });
  }

  /** Runs `mesh … --json`, which must print one document, whatever its exit code. */
  async function document<S extends DocumentSchema>(
    schema: S,
    ...words: string[]
  ): Promise<Outcome & { document: DocumentOf<S> }> {
    const outcome = await mesh(...words, '--json');
    return { ...outcome, document: checked(schema, outcome.stdout) };
  }

  /** Runs `mesh … --json`, which must succeed and print one document. */
  async function json<S extends DocumentSchema>(schema: S, ...words: string[]): Promise<DocumentOf<S>> {
    const { stdout } = await succeeded(...words, '--json');
    return checked(schema, stdout);
  }

  /** Runs `mesh …`, which must succeed. */
  async function succeeded(...words: string[]): Promise<Outcome> {
    const outcome = await mesh(...words);
    assert.equal(outcome.code, 0, outcome.stderr);
    return outcome;
  }

  /**
   * Runs `mesh …`, which must fail with that code, print one line on stderr that gives the reason,
   * and print nothing on stdout.
   */
  async function refused(code: number, why: RegExp, ...words: string[]): Promise<void> {
    const outcome = await mesh(...words);
    assert.equal(outcome.code, code, outcome.stderr);
    assert.match(outcome.stderr, why);
    assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
    assert.equal(outcome.stdout, '');
  }

  /** Starts `mesh …` and leaves it running. */
  function start(...words: string[]): { child: ChildProcess; ended: Promise<number | null> } {
    const child = spawn(process.execPath, [bin, ...words], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return { child, ended };
  }

  /** Starts `mesh … --json` and collects one document a line. */
  function follow<S extends DocumentSchema>(schema: S, ...words: string[]): Stream<DocumentOf<S>> {
    const { child, ended } = start(...words, '--json');
    const documents: DocumentOf<S>[] = [];
    let rest = '';
    child.stdout?.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) documents.push(checked(schema, line));
    });
    return { child, documents, ended };
  }

  return { mesh, document, json, succeeded, refused, start, follow };
}

/**
 * An environment in which the command keeps its meshes in `home`, and a mesh starts servers of its
 * own instead of using those that the machine offers.
 */
export function ownServers(home: string): NodeJS.ProcessEnv {
  return { ...process.env, MESH_HOME: home, DATABASE_URL: '', REDIS_URL: '' };
}

function checked<S extends DocumentSchema>(schema: S, text: string): DocumentOf<S> {
  const document: unknown = JSON.parse(text);
  assert.deepEqual(documentIssues(schema, document), []);
  return document as DocumentOf<S>;
}
