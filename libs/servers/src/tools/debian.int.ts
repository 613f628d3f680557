import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { identify, waitForEnd } from '../processes.ts';
import { runScript } from '../testing/scripts.ts';
import { withLock } from './lock.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-tools-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Makes stand-ins for apt-get and dpkg-deb, with a package of one file and one absolute link to it.
 * Each download is recorded.
 */
function standIns(): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  const programs = {
    'apt-get': `echo download >> '${folder}/downloads'; sleep 0.3; echo package > one.deb`,
    'dpkg-deb': `mkdir -p "$3/etc/one" "$3/usr/lib"; echo text > "$3/etc/one/file"; ln -s /etc/one/file "$3/usr/lib/link"`,
  };
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\nset -e\n${script}\n`);
    chmodSync(path.join(bin, name), 0o755);
  }
  return bin;
}

describe('unpacking Debian packages', () => {
  it('two processes that unpack at once download once and get the same folder', async () => {
    const PATH = `${standIns()}${path.delimiter}/usr/bin:/bin`;
    const toolsDir = path.join(folder, 'tools');
    const script = `
      const { unpackDebian } = await import(${JSON.stringify(import.meta.resolve('./debian.ts'))});
      const options = { toolsDir: ${JSON.stringify(toolsDir)}, name: 'one', packages: ['one'] };
      await say(await unpackDebian(options));`;
    const [first, second] = await Promise.all([runScript(script, { PATH }), runScript(script, { PATH })]);
    assert.equal(first, second);
    const unpacked = JSON.parse(first) as string;
    assert.equal(readFileSync(path.join(folder, 'downloads'), 'utf8'), 'download\n');
    assert.equal(readFileSync(path.join(unpacked, 'usr/lib/link'), 'utf8'), 'text\n');
    assert.deepEqual(readdirSync(toolsDir), [path.basename(unpacked)]);
  });
});

describe('the lock between processes', () => {
  it('two callers never hold the lock between processes together', async () => {
    const file = path.join(folder, 'together.lock');
    let inside = 0;
    const enter = async () =>
      withLock(file, { waitMaxMs: 20_000 }, async () => {
        inside += 1;
        assert.equal(inside, 1);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
      });
    await Promise.all(Array.from({ length: 5 }, enter));
    assert.equal(existsSync(file), false);
  });

  it('a killed holder does not keep the lock between processes', async () => {
    const file = path.join(folder, 'dead.lock');
    const holder = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
    const identity = await identify(holder.pid ?? 0);
    assert.ok(identity);
    writeFileSync(file, JSON.stringify(identity));
    await assert.rejects(
      withLock(file, { waitMaxMs: 0 }, async () => undefined),
      {
        code: 'tools.lock_timeout',
      },
    );
    holder.kill('SIGKILL');
    await waitForEnd(identity, 20_000);
    assert.equal(await withLock(file, { waitMaxMs: 20_000 }, async () => 'inside'), 'inside');
  });
});
