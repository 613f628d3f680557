/** The `mesh` command as a process, and what it prints. */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import type { Static, TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { waitMs } from './support.ts';

const bin = path.resolve(import.meta.dirname, '../../tools/mesh/bin/mesh.mjs');

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Stream<D> {
  child: ChildProcess;
  documents: D[];
  /** The exit code. */
  ended: Promise<number | null>;
}

/** The command in this environment, asked for each time. */
export function cliOf(environment: () => NodeJS.ProcessEnv) {
  async function mesh(...words: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [bin, ...words],
        { env: environment(), timeout: waitMs },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
      );
    });
  }

  /** Runs `mesh … --json`, which must succeed with the one document on stdout. */
  async function json<S extends TSchema>(schema: S, ...words: string[]): Promise<Static<S>> {
    const { code, stdout, stderr } = await mesh(...words, '--json');
    assert.equal(code, 0, stderr);
    return checked(schema, stdout);
  }

  /** Runs `mesh …`, which must fail with that code and one line that says why, and nothing on stdout. */
  async function refused(code: number, why: RegExp, ...words: string[]): Promise<void> {
    const outcome = await mesh(...words);
    assert.equal(outcome.code, code, outcome.stderr);
    assert.match(outcome.stderr, why);
    assert.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr);
    assert.equal(outcome.stdout, '');
  }

  /** Runs `mesh … --json` and collects one document a line. */
  function follow<S extends TSchema>(schema: S, ...words: string[]): Stream<Static<S>> {
    const child = spawn(process.execPath, [bin, ...words, '--json'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const documents: Static<S>[] = [];
    let rest = '';
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) documents.push(checked(schema, line));
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return { child, documents, ended };
  }

  return { mesh, json, refused, follow };
}

function checked<S extends TSchema>(schema: S, text: string): Static<S> {
  const document: unknown = JSON.parse(text);
  assert.ok(Check(schema, document), JSON.stringify([...Errors(schema, document)].slice(0, 3)));
  return document;
}
