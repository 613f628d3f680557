import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readText, repository, trackedFiles } from './repository.ts';
import { telemetrySources } from './telemetry/sources.ts';

const document = readText('docs/errors.md');
const sources = telemetrySources(trackedFiles()).filter((file) => !file.startsWith('bench/'));

/** The codes that problem documents carry, each with its status. */
async function listedCodes(): Promise<Map<string, number>> {
  const files = sources.filter((file) => /\/src\/(.*\/)?errors\.ts$/.test(file));
  const lists = await Promise.all(
    files.map(async (file) => {
      const module = (await import(pathToFileURL(path.join(repository, file)).href)) as {
        errorCodes?: Record<string, { http?: number }>;
      };
      return Object.entries(module.errorCodes ?? {});
    }),
  );
  return new Map(lists.flat().flatMap(([code, { http }]) => (http === undefined ? [] : [[code, http]])));
}

interface Entry {
  code: string;
  status: number;
  /** The parts that explain the code: meaning, what to do, example. */
  parts: string[];
}

function entriesOf(markdown: string): Entry[] {
  return markdown
    .split(/^(?=#{2,3} )/m)
    .filter((text) => text.startsWith('### '))
    .map((text) => {
      const [, code = '', status = '', ...parts] =
        /^### (\S+)\n\n\*\*Status (\d+)\.\*\* (.+?)\n\n\*\*What to do:\*\* (.+?)\n\n\*\*Example:\*\* (.+?)\n*$/s.exec(
          text,
        ) ?? assert.fail(`not an entry: ${text.slice(0, 80)}`);
      return { code, status: Number(status), parts };
    });
}

/** Status and code of every error that a source answers with a literal code. */
function answered(text: string): [string, number][] {
  const thrown = /\b(?:new HttpError|problem|httpError|refusal|refuse)\(\s*(\d{3}),\s*'([\w.]+)'/g;
  const mapped = /^ {2}'([\w.]+)': (\d{3}),$/gm;
  return [
    ...[...text.matchAll(thrown)].map(([, status, code]): [string, number] => [code!, Number(status)]),
    ...[...text.matchAll(mapped)].map(([, code, status]): [string, number] => [code!, Number(status)]),
  ];
}

describe('docs/errors.md', () => {
  it('has an entry for every code that callers can see, and no other', async () => {
    const lines = (codes: Iterable<readonly [string, number]>) =>
      [...codes].map(([code, status]) => `${code} ${status}`).sort();
    assert.deepEqual(
      lines(entriesOf(document).map(({ code, status }) => [code, status] as const)),
      lines(await listedCodes()),
    );
  });

  it('says of every code what it means and what to do, with an example', () => {
    const short = entriesOf(document).filter(({ parts }) => parts.some((part) => part.length < 8));
    assert.deepEqual(
      short.map(({ code }) => code),
      [],
    );
  });

  it('every error that a route answers is listed with its status', async () => {
    const listed = await listedCodes();
    const wrong = sources
      .filter((file) => /^(libs|services|apps)\//.test(file))
      .flatMap((file) => answered(readText(file)).map(([code, status]) => ({ file, code, status })))
      .filter(({ code, status }) => listed.get(code) !== status);
    assert.deepEqual(wrong, []);
  });

  it('a planted answer that the lists lack is found', () =>
    assert.deepEqual(
      answered(
        "throw new HttpError(\n  404,\n  'attic.closed' satisfies Code,\n  'no');\n  'attic.full': 413,\n",
      ),
      [
        ['attic.closed', 404],
        ['attic.full', 413],
      ],
    ));
});
