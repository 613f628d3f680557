import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readMeshConfig } from '../config.ts';
import { layoutOf } from '../mesh/files/layout.ts';
import { lockSupervisor } from '../mesh/files/run-file.ts';
import { findData, removeData } from './wipe.ts';

const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-wipe-'));
after(() => rmSync(home, { recursive: true, force: true }));

const configOf = (env: NodeJS.ProcessEnv = {}) => readMeshConfig({ MESH_HOME: home, ...env });

function makeMesh(name: string) {
  const layout = layoutOf(home, name);
  mkdirSync(layout.gatewayDir, { recursive: true });
  writeFileSync(path.join(layout.gatewayDir, 'data.mdb'), Buffer.alloc(1000));
  writeFileSync(layout.apiKeysFile, Buffer.alloc(24));
  return layout;
}

describe('mesh down --wipe', () => {
  it('row 18: a wipe removes one mesh, says what it is, and touches no other', async () => {
    const wiped = makeMesh('wiped');
    const other = makeMesh('other');
    const { folders, untouched } = findData(configOf(), 'wiped');
    assert.deepEqual(folders, [{ path: wiped.folder, bytes: 1024, files: 2 }]);
    assert.deepEqual(untouched, []);
    await removeData(configOf(), 'wiped');
    assert.equal(existsSync(wiped.folder), false);
    assert.equal(existsSync(other.apiKeysFile), true);
    assert.throws(() => findData(configOf(), 'wiped'), { code: 'mesh.unknown' });
  });

  it('the folder of PostgreSQL elsewhere goes too, but only if it is one', async () => {
    const layout = makeMesh('elsewhere');
    const elsewhere = path.join(home, 'place');
    mkdirSync(elsewhere);
    writeFileSync(`${layout.postgresDir}.location`, `${elsewhere}\n`);
    assert.equal(findData(configOf(), 'elsewhere').folders.length, 1);
    writeFileSync(path.join(elsewhere, 'PG_VERSION'), '17');
    assert.equal(findData(configOf(), 'elsewhere').folders.length, 2);
    await removeData(configOf(), 'elsewhere');
    assert.equal(existsSync(elsewhere), false);
  });

  it('a running mesh is not wiped, and servers of others are named as left alone', async () => {
    const layout = makeMesh('running');
    const unlock = await lockSupervisor(layout, 'running');
    await assert.rejects(removeData(configOf(), 'running'), { code: 'mesh.already_running' });
    unlock();
    assert.equal(existsSync(layout.apiKeysFile), true);
    const config = configOf({ DATABASE_URL: 'postgresql://db', ZOOKEEPER_HOSTS: 'zk:2181' });
    assert.deepEqual(findData(config, 'running').untouched, [
      'the database of DATABASE_URL',
      'the nodes below /thermomesh/running of ZOOKEEPER_HOSTS',
    ]);
  });
});
