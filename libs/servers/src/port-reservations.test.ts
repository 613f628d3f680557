import assert from 'node:assert/strict';
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '@thermomesh/testing';
import { releasePort, reservationsFolder, reservePort } from './port-reservations.ts';

describe('a reservation of a port', () => {
  it('is refused while a living process holds it, and granted again to its own', async () => {
    await using temporary = await temporaryFolder('ports');
    assert.equal(reservePort(20_001, temporary), true);
    assert.equal(reservePort(20_001, temporary), false);
    assert.equal(reservePort(20_001, { ...temporary, again: true }), true);
    assert.equal(reservePort(20_002, temporary), true);
    writeFileSync(path.join(temporary.folder, '20003'), String(process.ppid));
    assert.equal(reservePort(20_003, { ...temporary, again: true }), false);
  });

  it('of a process that has ended is taken over', async () => {
    await using temporary = await temporaryFolder('ports');
    const ended = spawnSync(process.execPath, ['--eval', '']);
    const file = path.join(temporary.folder, '20001');
    writeFileSync(file, String(ended.pid));
    assert.equal(reservePort(20_001, temporary), true);
    assert.equal(readFileSync(file, 'utf8'), String(process.pid));
  });

  it('of a process that has ended is taken over by one of many at once', async () => {
    await using temporary = await temporaryFolder('ports');
    const { pid } = spawnSync(process.execPath, ['--eval', '']);
    const module = pathToFileURL(path.join(import.meta.dirname, 'port-reservations.ts')).href;
    const ports = Array.from({ length: 300 }, (_, index) => 20_001 + index);
    for (const port of ports) writeFileSync(path.join(temporary.folder, String(port)), String(pid));
    // Each process stays alive until all have tried, so that none of their reservations is stale.
    const script = `const { reservePort } = await import(${JSON.stringify(module)});
      await new Promise((resolve) => process.once('message', resolve));
      const folder = ${JSON.stringify(temporary.folder)};
      process.send(${JSON.stringify(ports)}.filter((port) => reservePort(port, { folder })));
      process.once('message', () => process.exit());`;
    const file = path.join(temporary.folder, 'reserve.mjs');
    writeFileSync(file, script);
    const children = [1, 2, 3].map(() => fork(file));
    await Promise.all(children.map(async (child) => once(child, 'spawn')));
    const granted = children.map(async (child) => {
      const answer = once(child, 'message');
      child.send('try');
      return ((await answer) as [number[]])[0];
    });
    const all = (await Promise.all(granted)).flat();
    for (const child of children) child.send('end');
    assert.equal(new Set(all).size, all.length, 'a port was granted twice');
    assert.ok(all.length >= ports.length / 2, `only ${all.length} were granted`);
  });

  it('ends when its process releases it, which no other process can do', async () => {
    await using temporary = await temporaryFolder('ports');
    assert.equal(reservePort(20_001, temporary), true);
    releasePort(20_001, temporary.folder);
    assert.equal(reservePort(20_001, temporary), true);
    const file = path.join(temporary.folder, '20002');
    writeFileSync(file, String(process.ppid));
    releasePort(20_002, temporary.folder);
    assert.equal(readFileSync(file, 'utf8'), String(process.ppid));
  });

  it('is open to every user, whatever the umask of the first process is', async () => {
    await using temporary = await temporaryFolder('ports');
    const before = process.umask(0o077);
    try {
      const folder = path.join(temporary.folder, 'own');
      assert.equal(reservePort(20_001, { folder }), true);
      assert.equal(statSync(folder).mode & 0o7777, 0o1777);
    } finally {
      process.umask(before);
    }
  });

  it('does not depend on the folder for temporary files', () => {
    const module = pathToFileURL(path.join(import.meta.dirname, 'port-reservations.ts')).href;
    const script = `console.log((await import(${JSON.stringify(module)})).reservationsFolder)`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      env: { ...process.env, TMPDIR: '/var/tmp' },
      encoding: 'utf8',
    });
    assert.equal(stdout.trim(), reservationsFolder);
  });

  it('is granted where none can be written', () =>
    assert.equal(reservePort(20_001, { folder: '/dev/null/nowhere' }), true));
});
